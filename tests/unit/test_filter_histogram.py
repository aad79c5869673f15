"""The histogram of a label's scores: exact counts at every edge, and edges that a person can type."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.filters.histogram import MOST_BINS, choose_bins, coarser, count_scores, stored

scores = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60)


@given(scores)
def test_the_counts_at_every_edge_are_those_of_the_filters_rule(values: list[float]) -> None:
    histogram = count_scores(values)
    bins = histogram.bins
    assert histogram.total == len(values)
    assert 1 <= bins.number <= MOST_BINS
    for edge in bins.edges[:: max(1, bins.number // 20)]:
        assert histogram.dropped_at(edge) == sum(value < stored(edge) for value in values)


@given(scores, st.floats(-1, 1))
def test_a_cut_inside_a_bin_is_counted_only_where_the_bin_is_empty(values: list[float], cut: float) -> None:
    told = count_scores(values).dropped_at(cut)
    assert told is None or told == sum(value < stored(cut) for value in values)


@given(scores)
def test_a_score_taken_as_the_cut_counts_itself_as_kept(values: list[float]) -> None:
    histogram = count_scores(values)
    told = histogram.dropped_at(min(values))
    assert told in (0, None)


@pytest.mark.parametrize(
    ("low", "high", "step", "digits"),
    [(0.7, 0.9, 0.001, 3), (0.71, 0.74, 0.0001, 4), (0.0, 1.0, 0.005, 3), (-1.0, 1.0, 0.01, 2), (0.5, 0.5, 0.0001, 4)],
)
def test_edges_have_few_digits(low: float, high: float, step: float, digits: int) -> None:
    bins = choose_bins(low, high)
    assert (bins.step, bins.digits) == (step, digits)
    assert all(edge == round(edge, digits) for edge in bins.edges)
    assert bins.edge(0) <= low
    assert bins.edge(bins.number) > high


def test_a_picture_of_fewer_bars_loses_no_text() -> None:
    values = np.random.default_rng(3).normal(0.8, 0.03, 5_000).astype(np.float32).tolist()
    bars = coarser(count_scores(values), 60)
    assert len(bars) <= 60
    assert sum(count for *_, count in bars) == 5_000
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bars))


def test_no_score_gives_an_empty_histogram() -> None:
    assert count_scores([]).total == 0
    assert count_scores([]).dropped_at(0.5) == 0
