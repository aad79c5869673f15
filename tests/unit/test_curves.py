"""Curves as points: precision at a recall and frequencies of bins, each against its definition, with honest bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.measure.curves import RECALLS, precision_recall, reliability

_ranked = st.lists(st.tuples(st.integers(0, 6).map(lambda i: i / 6), st.booleans()), min_size=1, max_size=40)


def _precision_at(probabilities: np.ndarray, truth: np.ndarray, recall: float) -> float:
    """The definition: the highest cut that reaches the recall, and how many above it are right."""
    for cut in sorted(set(probabilities.tolist()), reverse=True):
        above = probabilities >= cut
        if truth[above].sum() >= recall * truth.sum() - 1e-9:
            return float(truth[above].mean())
    raise AssertionError


@given(_ranked)
def test_each_point_is_the_precision_of_the_highest_cut_that_reaches_the_recall(
    pairs: list[tuple[float, bool]],
) -> None:
    probabilities, truth = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])
    assume(truth.any())
    points = precision_recall(probabilities, truth, rng=np.random.default_rng(1), resamples=20)
    assert [point.recall for point in points] == list(RECALLS)
    for point in points:
        assert point.precision == pytest.approx(_precision_at(probabilities, truth, point.recall))


def test_a_perfect_ranking_has_precision_one_at_every_recall() -> None:
    truth = np.array([True] * 20 + [False] * 80)
    points = precision_recall(np.linspace(1, 0, 100), truth, rng=np.random.default_rng(1))
    assert {(point.precision, point.low, point.high) for point in points} == {(1.0, 1.0, 1.0)}


def test_a_label_that_no_text_has_has_no_curve() -> None:
    assert precision_recall(np.array([0.2, 0.8]), np.array([False, False]), rng=np.random.default_rng(1)) == []
    assert reliability(np.array([]), np.array([], dtype=bool)) == []


def test_more_texts_make_the_band_narrower() -> None:
    rng = np.random.default_rng(5)

    def width(texts: int) -> float:
        truth = rng.random(texts) < 0.3
        probabilities = rng.random(texts) * 0.6 + truth * 0.4
        points = precision_recall(probabilities, truth, rng=rng, resamples=200)
        return float(np.mean([point.high - point.low for point in points]))

    assert width(3_000) < width(100) / 2


def test_the_band_holds_the_precision_of_all_texts_about_as_often_as_it_says() -> None:
    """Drawn a hundred times from one population, the band at a recall of a half holds its precision there."""
    rng = np.random.default_rng(8)
    truth = rng.random(200_000) < 0.3
    probabilities = rng.normal(truth * 1.0, 1.0)
    [true] = precision_recall(probabilities, truth, rng=rng, recalls=(0.5,), resamples=1)
    held = 0
    for _ in range(100):
        some = rng.integers(0, len(truth), 400)
        [point] = precision_recall(probabilities[some], truth[some], rng=rng, recalls=(0.5,), resamples=200)
        held += point.low <= true.precision <= point.high
    assert held >= 85


@given(_ranked, st.integers(1, 12))
def test_bins_hold_every_text_once_in_rising_order(pairs: list[tuple[float, bool]], bins: int) -> None:
    probabilities, truth = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])
    curve = reliability(probabilities, truth, bins=bins)
    assert sum(part.texts for part in curve) == len(truth)
    assert sum(part.frequency * part.texts for part in curve) == pytest.approx(truth.sum())
    means = [part.probability for part in curve]
    assert means == sorted(means)
    assert all(part.low <= part.frequency <= part.high for part in curve)


def test_probabilities_that_mean_what_they_say_lie_on_the_diagonal() -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.random(50_000)
    truth = rng.random(50_000) < probabilities
    assert all(abs(part.frequency - part.probability) < 0.03 for part in reliability(probabilities, truth))
    assert any(abs(part.frequency - part.probability) > 0.1 for part in reliability(probabilities**2, truth))
