"""Krippendorff's alpha over volunteers' answers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.measure.arrays import UNKNOWN
from pipeline.taxonomy import load_taxonomy
from sync.quality.agreement import LEAST_TEXTS, agreement, nominal_alpha
from sync.quality.answers import Answers
from sync.quality.rows import AnswerRow, Rows
from tests.support.volunteers import LABELS, crew, simulate, table

#: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), part A: two observers, binary data
_TWO_OBSERVERS = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]])
#: part C: four observers, nominal data, some missing (0)
_FOUR_OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)


def long(grid: np.ndarray) -> Answers:
    """Answers on one label from a grid [raters, texts] in which nan is missing."""
    rater, text = np.nonzero(np.isfinite(grid))
    return table(grid[rater, text][:, None], rater.tolist(), text.tolist())


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_published_example_of_two_observers_comes_out() -> None:
    found = agreement(long(_TWO_OBSERVERS.astype(float)), rng=rng())
    assert found.overall is not None and found.labels[0].alpha is not None
    assert found.overall.value == pytest.approx(0.095, abs=5e-4)
    assert found.labels[0].alpha.value == pytest.approx(0.095, abs=5e-4)
    assert (found.texts, found.labels[0].texts, found.labels[0].ticked) == (10, 10, 6)


def test_the_published_example_with_missing_answers_comes_out() -> None:
    counts = np.array([(value == _FOUR_OBSERVERS).sum(axis=0) for value in range(1, 6)]).T
    assert nominal_alpha(counts) == pytest.approx(0.743, abs=5e-4)


def test_the_published_coincidences_come_out_by_hand() -> None:
    """Part C of the paper: 40 pairable values, 9, 13, 10, 5 and 3 of each, 7 + 10 + 8 + 4 + 3 of them in agreement."""
    counts = np.array([(value == _FOUR_OBSERVERS).sum(axis=0) for value in range(1, 6)]).T
    by_hand = (39 * (7 + 10 + 8 + 4 + 3) - (9 * 8 + 13 * 12 + 10 * 9 + 5 * 4 + 3 * 2)) / (40 * 39 - 344)
    assert nominal_alpha(counts) == pytest.approx(by_hand)


@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_one_less_observed_over_expected_disagreement_with_answers_missing_at_will(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.random(60) < 0.3
    grid = np.where(draw.random((4, 60)) < 0.15, ~truth, truth).astype(float)
    grid[draw.random(grid.shape) < 0.5] = np.nan
    expected = by_pairs(grid)
    found = agreement(long(grid), rng=rng())
    assert found.overall is not None and found.labels[0].alpha is not None
    # with one label all three are the same figure, one by coincidences and two by sums over texts
    for estimate in (found.overall, found.labels[0].alpha, found.mean):
        assert estimate is not None
        assert estimate.value == pytest.approx(expected)
        assert estimate.low <= estimate.value <= estimate.high


def by_pairs(grid: np.ndarray) -> float:
    """Alpha from its meaning: how often two answers to one text differ, over how often any two answers do."""
    texts = [column[np.isfinite(column)] for column in grid.T]
    texts = [answers for answers in texts if len(answers) >= 2]
    pool = np.concatenate(texts)
    differ = [(np.not_equal.outer(one, one).sum() / (len(one) - 1)) for one in texts]
    observed = sum(differ) / len(pool)
    expected = np.not_equal.outer(pool, pool).sum() / (len(pool) * (len(pool) - 1))
    return float(1 - observed / expected)


def test_texts_with_one_answer_change_nothing() -> None:
    draw = np.random.default_rng(3)
    grid = (draw.random((3, 40)) < 0.4).astype(float)
    alone = np.full((3, 25), np.nan)
    alone[0] = 1
    without, with_them = (agreement(long(one), rng=rng()) for one in (grid, np.hstack([grid, alone])))
    assert with_them.overall == without.overall
    assert with_them.texts == without.texts == 40


def test_a_label_that_was_not_shown_to_somebody_counts_without_them() -> None:
    said = np.array([[1, 1], [1, UNKNOWN], [0, 0], [0, 0]] * 10)
    text = [2 * i + j for i in range(10) for j in (0, 0, 1, 1)]
    found = agreement(table(said, [0, 1, 0, 1] * 10, text), rng=rng())
    assert [one.texts for one in found.labels] == [20, 10]
    assert found.labels[0].alpha is not None and found.labels[0].alpha.value == 1
    # nobody ticks it where two were asked: there is no chance agreement to go beyond
    assert found.labels[1].alpha is None


def test_one_rater_alone_agrees_with_nobody() -> None:
    grid = (np.random.default_rng(1).random((1, 50)) < 0.5).astype(float)
    found = agreement(long(grid), rng=rng())
    assert (found.texts, found.overall, found.mean) == (0, None, None)
    assert [(one.texts, one.alpha) for one in found.labels] == [(0, None)]


def test_too_few_texts_give_no_alpha() -> None:
    grid = np.tile([0.0, 1.0], (2, LEAST_TEXTS))
    assert agreement(long(grid[:, : LEAST_TEXTS - 1]), rng=rng()).overall is None
    full = agreement(long(grid[:, :LEAST_TEXTS]), rng=rng()).overall
    assert full is not None and full.value == 1


def test_careful_people_agree_more_than_guessers_and_intervals_hold_the_value() -> None:
    answers, _ = simulate(rng(), crew(rng(), 5))
    found = agreement(answers, rng=rng())
    shuffled = table(np.random.default_rng(5).permutation(answers.said), answers.rater.tolist(), answers.text.tolist())
    by_chance = agreement(shuffled, rng=rng())
    assert found.overall is not None and by_chance.overall is not None
    assert found.overall.low > by_chance.overall.high
    assert by_chance.overall.low < 0.1
    assert [one.label for one in found.labels] == list(LABELS)
    for one in found.labels:
        assert one.alpha is not None
        assert one.alpha.low <= one.alpha.value <= one.alpha.high <= 1


def test_the_first_two_answers_to_a_paired_text_are_told_from_a_third() -> None:
    text, other = uuid.uuid4(), uuid.uuid4()
    rows = Rows(load_taxonomy())
    for rater, of, minute in (("3", text, 9), ("1", text, 1), ("2", text, 5), ("1", other, 2)):
        rows.add(_answer_row(rater, of, minute, paired=of == text))
    table = rows.table()
    answered = {(table.raters[rater], int(text)): bool(pair) for rater, text, pair in _columns(table)}
    assert answered == {("3", 0): False, ("1", 0): True, ("2", 0): True, ("1", 1): False}


def _answer_row(rater: str, text: uuid.UUID, minute: int, *, paired: bool) -> AnswerRow:
    return AnswerRow(
        rater=rater,
        text=text,
        said={"hate": True},
        truth={},
        of_data_sets=False,
        predicted=None,
        shown=False,
        kept=False,
        blind=False,
        planted=False,
        paired=paired,
        seconds=None,
        at=datetime(2026, 1, 1, 12, minute, tzinfo=UTC),
    )


def _columns(table: Answers) -> Iterable[tuple[int, int, bool]]:
    return zip(table.rater, table.text, table.paired, strict=True)
