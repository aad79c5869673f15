"""From which probability on a label is given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.models.thresholds import Objective, Threshold, choose_threshold, parse_objective

_pairs = st.lists(
    st.tuples(st.floats(0, 1) | st.sampled_from((0.0, 0.25, 0.5, 1.0)), st.booleans()), min_size=1, max_size=30
)
_targets = st.floats(0.05, 1)


def arrays(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])


def precision_and_recall(probabilities: np.ndarray, truth: np.ndarray, cut: float) -> tuple[float, float]:
    given = probabilities >= cut
    right = (given & truth).sum()
    return right / max(1, given.sum()), right / max(1, truth.sum())


def every_cut(probabilities: np.ndarray, truth: np.ndarray) -> list[tuple[float, float]]:
    return [precision_and_recall(probabilities, truth, cut) for cut in set(probabilities.tolist())]


@settings(deadline=None)
@given(_pairs, st.sampled_from(("f1", "precision", "recall")), _targets)
def test_what_it_says_of_itself_is_what_the_cut_gives(
    pairs: list[tuple[float, bool]], kind: str, target: float
) -> None:
    probabilities, truth = arrays(pairs)
    found = choose_threshold(probabilities, truth, Objective(kind, target))  # type: ignore[arg-type]
    assert (found.precision, found.recall) == pytest.approx(precision_and_recall(probabilities, truth, found.value))
    assert 0 <= found.value <= 1


@settings(deadline=None)
@given(_pairs)
def test_no_other_cut_has_a_better_f1(pairs: list[tuple[float, bool]]) -> None:
    probabilities, truth = arrays(pairs)
    assume(truth.any())
    found = choose_threshold(probabilities, truth)
    best = max(f1(*both) for both in every_cut(probabilities, truth))
    assert f1(found.precision, found.recall) == pytest.approx(best)
    assert found.reached


@settings(deadline=None)
@given(_pairs, st.sampled_from(("precision", "recall")), _targets)
def test_a_target_is_met_with_the_most_of_the_other(pairs: list[tuple[float, bool]], kind: str, target: float) -> None:
    probabilities, truth = arrays(pairs)
    found = choose_threshold(probabilities, truth, Objective(kind, target))  # type: ignore[arg-type]
    cuts = (
        every_cut(probabilities, truth) if kind == "precision" else [b[::-1] for b in every_cut(probabilities, truth)]
    )
    wanted, other = (found.precision, found.recall) if kind == "precision" else (found.recall, found.precision)
    meeting = [theirs for mine, theirs in cuts if mine >= target]
    assert found.reached == bool(meeting)
    if meeting:
        assert wanted >= target
        assert other == max(meeting)
    else:
        assert wanted == max(mine for mine, _ in cuts)


def test_a_target_out_of_reach_is_said_to_be() -> None:
    probabilities, truth = np.array([0.9, 0.8, 0.4, 0.1]), np.array([False, True, True, False])
    found = choose_threshold(probabilities, truth, Objective("precision", 0.95))
    assert not found.reached
    assert found.precision == pytest.approx(2 / 3)
    assert found.value == pytest.approx(0.25)


def test_the_cut_lies_half_way_between_two_probabilities() -> None:
    probabilities, truth = np.array([0.9, 0.7, 0.2, 0.1]), np.array([True, True, False, False])
    assert choose_threshold(probabilities, truth) == Threshold((0.7 + 0.2) / 2, 1.0, 1.0)
    everything = choose_threshold(probabilities, np.ones(4, dtype=bool))
    assert everything.value == pytest.approx(0.05)


def test_a_cut_between_numbers_that_have_nothing_between_them() -> None:
    probabilities = np.array([1.0, np.nextafter(1.0, 0.0)])
    found = choose_threshold(probabilities, np.array([True, False]))
    assert (probabilities >= found.value).tolist() == [True, False]


@pytest.mark.parametrize(
    ("words", "objective"),
    [
        ("f1", Objective()),
        ("precision=0.9", Objective("precision", 0.9)),
        ("recall=.75", Objective("recall", 0.75)),
        ("recall=1", Objective("recall", 1.0)),
        ("precision=1.0", Objective("precision", 1.0)),
    ],
)
def test_objectives_are_read_and_written_alike(words: str, objective: Objective) -> None:
    assert parse_objective(words) == objective
    assert parse_objective(str(objective)) == objective


@pytest.mark.parametrize("words", ["", "F2", "precision", "precision=", "recall=0", "recall=0.0", "recall=1.1", "f1=1"])
def test_other_objectives_are_refused_with_what_may_be_said(words: str) -> None:
    with pytest.raises(UsageError, match=r"use f1, precision=P or recall=R"):
        parse_objective(words)


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / max(precision + recall, 1e-12)
