"""Automation bias: shown tasks beside blind ones."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.measure.arrays import UNKNOWN
from sync.quality.sway import LEAST, Sway, sway
from tests.support.volunteers import LABELS, Volunteer, crew, simulate, table


def measured(seed: int, who: list[Volunteer], **how: float) -> Sway:
    rng = np.random.default_rng(seed)
    answers, _ = simulate(rng, who, texts=400, blind=0.4, planted=0.5, prediction_errors=0.15, **how)  # type: ignore[arg-type]
    return sway(answers, rng=rng)


def test_careful_people_answer_alike_with_ticks_and_without() -> None:
    differences = []
    for seed in range(12):
        found = measured(seed, crew(np.random.default_rng(seed), 5))
        assert found.agreement.difference is not None and found.wrong_adopted.difference is not None
        differences.append(found.agreement.difference.value)
    assert abs(float(np.mean(differences))) < 0.03


def test_followers_are_swayed_and_the_interval_excludes_nought() -> None:
    found = measured(1, [Volunteer(follows=0.7)] * 5)
    for contrast in (found.agreement, found.wrong_adopted):
        assert contrast.of_shown is not None and contrast.of_blind is not None and contrast.difference is not None
        assert contrast.difference.low > 0.15
        assert contrast.difference.value == pytest.approx(contrast.of_shown.value - contrast.of_blind.value)
        assert contrast.difference.low <= contrast.difference.value <= contrast.difference.high
    # seven in ten take whatever is ticked, right or wrong
    assert found.wrong_adopted.difference is not None
    assert 0.5 < found.wrong_adopted.difference.value < 0.9
    assert [label for label, _ in found.wrong_adopted_by_label] == list(LABELS)


def test_texts_on_which_nothing_would_be_ticked_count_on_neither_side() -> None:
    """A page without ticks is no shown task, so its like must not count among the blind either."""
    said = np.ones((80, 1), dtype=np.int8)
    blind = np.arange(80) % 2 == 1
    # one label is there throughout, and predicted on every other pair of texts
    predicted = ((np.arange(80) // 2) % 2 == 0).astype(np.int8)[:, None]
    shown = ~blind & (predicted[:, 0] == 1)
    answers = table(said, [0] * 80, list(range(80)), predicted=predicted, blind=blind, shown=shown)
    found = sway(answers, rng=np.random.default_rng(0)).agreement
    assert (found.shown, found.blind) == (20, 20)
    assert found.difference is not None and found.difference.value == 0


def test_blind_tasks_without_a_prediction_say_nothing() -> None:
    said = np.ones((100, 1), dtype=np.int8)
    blind = np.arange(100) >= 50
    predicted = np.where(blind, UNKNOWN, 1).astype(np.int8)[:, None]
    answers = table(said, [0] * 100, list(range(100)), predicted=predicted, blind=blind, shown=~blind)
    found = sway(answers, rng=np.random.default_rng(0)).agreement
    assert (found.shown, found.blind, found.of_shown, found.difference) == (50, 0, None, None)


@pytest.mark.parametrize(("blind", "defined"), [(LEAST - 1, False), (LEAST, True)])
def test_too_few_blind_answers_give_no_difference(blind: int, defined: bool) -> None:
    rows = 60 + blind
    is_blind = np.arange(rows) >= 60
    said = np.ones((rows, 1), dtype=np.int8)
    answers = table(said, [0] * rows, list(range(rows)), predicted=said, blind=is_blind, shown=~is_blind)
    found = sway(answers, rng=np.random.default_rng(0)).agreement
    assert (found.difference is not None) is defined
    assert found.blind == blind
