"""Shares from samples with unequal chances: unbiased, and with intervals that hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.measure.intervals import wilson
from pipeline.measure.survey import weighted_share

answers = st.lists(st.tuples(st.booleans(), st.floats(0.001, 1)), min_size=1, max_size=40)


def test_equal_chances_give_the_plain_share_with_wilsons_interval() -> None:
    assert weighted_share([True] * 18 + [False] * 2, [0.05] * 20) == wilson(18, 20)


def test_no_answer_gives_no_share() -> None:
    assert weighted_share([], []) is None


def test_an_answer_counts_with_the_inverse_of_its_chance() -> None:
    found = weighted_share([True, False], [0.1, 0.4])
    assert found is not None
    assert found.value == pytest.approx(0.8)


@given(answers)
def test_the_interval_holds_the_share_and_stays_between_0_and_1(pairs: list[tuple[bool, float]]) -> None:
    hits, chances = zip(*pairs, strict=True)
    found = weighted_share(hits, chances)
    assert found is not None
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    # Where all answers are equal, the truth may still be another.
    assert found.high - found.low > 0.01


@given(answers)
def test_the_share_of_the_opposite_is_the_rest(pairs: list[tuple[bool, float]]) -> None:
    hits, chances = zip(*pairs, strict=True)
    found, opposite = weighted_share(hits, chances), weighted_share([not hit for hit in hits], chances)
    assert found is not None and opposite is not None
    assert (found.value, found.low) == pytest.approx((1 - opposite.value, 1 - opposite.high))


@pytest.mark.parametrize(
    "strata",
    [
        # texts, drawn, share that was rightly rejected: two draws, of which the later was of a larger filter
        [(100, 20, 0.95), (900, 45, 0.7)],
        [(1_000, 20, 0.7), (3_000, 150, 0.95)],
        [(2_000, 20, 0.6), (300, 60, 0.2)],
        [(200, 20, 0.9), (5_000, 250, 0.9)],
    ],
)
def test_the_interval_holds_the_truth_in_nineteen_of_twenty_samples(strata: list[tuple[int, int, float]]) -> None:
    rng = np.random.default_rng(11)
    held, off = [], []
    for _ in range(600):
        hits: list[bool] = []
        chances: list[float] = []
        right = total = 0
        for texts, drawn, share in strata:
            members = rng.random(texts) < share
            right, total = right + int(members.sum()), total + texts
            hits += members[rng.choice(texts, drawn, replace=False)].tolist()
            chances += [drawn / texts] * drawn
        found = weighted_share(hits, chances)
        assert found is not None
        held.append(found.low <= right / total <= found.high)
        off.append(found.value - right / total)
    # Three standard errors of 600 samples below 0.95.
    assert np.mean(held) >= 0.923
    assert abs(np.mean(off)) < 3 * np.std(off) / np.sqrt(len(off)) + 0.002
