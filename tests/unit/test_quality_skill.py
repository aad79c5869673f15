"""Each rater against a reference."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.measure.arrays import UNKNOWN
from sync.quality.skill import LEAST_POSITIVES, LEAST_TASKS, score
from tests.support.volunteers import LABELS, Volunteer, simulate, table


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_whoever_never_ticks_a_rare_label_agrees_often_and_finds_nothing() -> None:
    truth = np.zeros((100, 1), dtype=np.int8)
    truth[:5] = 1
    never = score(table(np.zeros((100, 1)), [0] * 100, list(range(100))), truth, rng=rng())
    assert never.agreement is not None and never.agreement.value == 0.95
    assert never.macro_f1 is not None and never.macro_f1.value == 0
    assert never.labels[0].f1 is not None and never.labels[0].f1.value == 0
    assert (never.labels[0].positives, never.labels[0].ticked) == (5, 0)


def test_f1_is_what_is_found_of_what_there_is() -> None:
    # 6 found, 4 missed, 2 ticked wrongly: 2 * 6 / (10 + 8)
    truth = np.array([1] * 10 + [0] * 10, dtype=np.int8)[:, None]
    said = np.array([1] * 6 + [0] * 4 + [1] * 2 + [0] * 8)[:, None]
    found = score(table(said, [0] * 20, list(range(20))), truth, rng=rng())
    [label] = found.labels
    assert label.f1 is not None
    assert label.f1.value == pytest.approx(12 / 18)
    assert label.f1.low < label.f1.value < label.f1.high
    assert (found.tasks, found.right) == (20, 14)
    assert found.exact is not None and found.exact.value == 0.7


def test_a_rare_label_counts_as_much_as_a_common_one() -> None:
    truth = np.zeros((60, 2), dtype=np.int8)
    truth[:30, 0] = 1
    truth[:6, 1] = 1
    said = truth.copy()
    said[:, 1] = 0
    found = score(table(said, [0] * 60, list(range(60))), truth, rng=rng())
    assert found.macro_f1 is not None and found.macro_f1.value == 0.5


def test_what_is_not_known_is_not_held_against_anybody() -> None:
    truth = np.full((20, 2), UNKNOWN, dtype=np.int8)
    truth[:10, 0] = 1
    said = np.ones((20, 2))
    found = score(table(said, [0] * 20, list(range(20))), truth, rng=rng())
    assert (found.tasks, found.right) == (10, 10)
    assert found.agreement is not None and found.agreement.value == 1
    assert [one.positives for one in found.labels] == [10, 0]
    assert found.labels[1].f1 is None


def test_too_little_is_said_to_be_so() -> None:
    truth = np.ones((LEAST_TASKS - 1, 1), dtype=np.int8)
    few = score(table(truth, [0] * len(truth), list(range(len(truth)))), truth, rng=rng())
    assert (few.tasks, few.exact, few.agreement, few.macro_f1, few.labels[0].f1) == (4, None, None, None, None)
    truth = np.zeros((50, 1), dtype=np.int8)
    truth[: LEAST_POSITIVES - 1] = 1
    rare = score(table(truth, [0] * 50, list(range(50))), truth, rng=rng())
    assert rare.exact is not None
    assert (rare.macro_f1, rare.labels[0].f1) == (None, None)


def test_planted_tasks_order_volunteers_by_their_skill() -> None:
    people = [Volunteer(miss=0.02, false_alarm=0.005), Volunteer(miss=0.25, false_alarm=0.05), Volunteer(guesses=1.0)]
    answers, _ = simulate(rng(), people, texts=300, planted=0.5)
    shares = []
    for number in range(3):
        own = answers.where((answers.rater == number) & answers.planted)
        found = score(own, own.truth, rng=rng())
        assert found.exact is not None and found.tasks == len(own) > 100
        assert found.exact.low < found.exact.value < found.exact.high
        shares.append(found.exact)
    assert shares[0].low > shares[1].high > shares[1].low > shares[2].high
    assert [one.label for one in score(answers, answers.truth, rng=rng()).labels] == list(LABELS)
