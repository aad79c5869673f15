"""The nearest texts are found by groups, and they are the nearest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.learning.neighbour_votes import largest


@given(
    rows=st.integers(0, 4),
    columns=st.integers(1, 1_500),
    count=st.integers(1, 40),
    digits=st.integers(0, 3),
    seed=st.integers(0, 10_000),
)
def test_the_largest_values_are_found_whatever_the_ties(
    rows: int, columns: int, count: int, digits: int, seed: int
) -> None:
    count = min(count, columns)
    values = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32).round(digits)
    places = largest(values, count)
    assert places.shape == (rows, count)
    for row, own in zip(values, places, strict=True):
        assert len(set(own.tolist())) == count
        assert sorted(row[own]) == pytest.approx(np.sort(row)[columns - count :])
