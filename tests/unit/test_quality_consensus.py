"""What raters together say, by Dawid and Skene's model."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.measure.arrays import UNKNOWN, LabelMatrix
from sync.quality.answers import Answers
from sync.quality.consensus import Consensus, consensus
from tests.support.volunteers import LABELS, Volunteer, majority_of_others, simulate, table

#: two who know, and three who do not
_CREW = (
    Volunteer(miss=0.05, false_alarm=0.02),
    Volunteer(miss=0.1, false_alarm=0.03),
    *[Volunteer(miss=0.55, false_alarm=0.35)] * 3,
)


@pytest.fixture(scope="module")
def mixed() -> tuple[Answers, LabelMatrix, Consensus]:
    # nothing is predicted wrong, and all see all texts: skill alone tells them apart
    answers, truth = simulate(np.random.default_rng(7), _CREW, texts=300, raters_a_text=5)
    return answers, truth[answers.text], consensus(answers)


def test_it_comes_nearer_to_the_truth_than_the_majority(mixed: tuple[Answers, LabelMatrix, Consensus]) -> None:
    answers, truth, found = mixed
    majority = majority_of_others(answers)
    both = (found.others != UNKNOWN) & (majority != UNKNOWN)
    assert both.mean() > 0.5
    wrong, wrong_by_majority = ((one[both] != truth[both]).mean() for one in (found.others, majority))
    assert wrong < 0.5 * wrong_by_majority


def test_it_recovers_how_good_each_rater_is(mixed: tuple[Answers, LabelMatrix, Consensus]) -> None:
    _, _, found = mixed
    assert np.isfinite(found.sensitivity).all() and np.isfinite(found.specificity).all()
    common = [0, 3, 4]
    for number, who in enumerate(_CREW):
        assert found.sensitivity[number, common].mean() == pytest.approx(1 - who.miss, abs=0.12)
        assert found.specificity[number, common].mean() == pytest.approx(1 - who.false_alarm, abs=0.12)
    # nobody is taken to be infallible
    assert (found.sensitivity < 1).all() and (found.specificity < 1).all()


def test_a_text_with_one_answer_has_no_others() -> None:
    answers, _ = simulate(np.random.default_rng(1), _CREW[:3], texts=60)
    lone = answers.where((answers.text >= 10) | (answers.rater == 0))
    others = consensus(lone).others
    assert (others[lone.text < 10] == UNKNOWN).all()
    assert (others[lone.text >= 10] != UNKNOWN).any()


@pytest.mark.parametrize(
    ("raters", "texts", "ticked"),
    [(2, 60, 20), (3, 15, 15), (3, 60, 3)],
    ids=["two raters", "few texts", "few ticks"],
)
def test_too_little_is_left_unknown(raters: int, texts: int, ticked: int) -> None:
    said = np.zeros((raters * texts, 1))
    said[:ticked] = 1
    rater = [number for number in range(raters) for _ in range(texts)]
    found = consensus(table(said, rater, list(range(texts)) * raters))
    assert (found.others == UNKNOWN).all()
    assert np.isnan(found.sensitivity).all()


def test_a_label_that_is_never_ticked_does_not_stop_the_others() -> None:
    answers, _ = simulate(np.random.default_rng(2), _CREW[:3], texts=80)
    answers.said[:, 1] = 0
    found = consensus(answers)
    assert (found.others[:, 1] == UNKNOWN).all()
    assert (found.others[:, LABELS.index("safe for work")] != UNKNOWN).any()


def test_raters_beyond_the_thirty_nine_that_are_packed_into_a_number_are_heard() -> None:
    crew = [Volunteer(miss=0.1, false_alarm=0.02)] * 45
    answers, truth = simulate(np.random.default_rng(3), crew, texts=400, raters_a_text=5)
    others = consensus(answers).others
    known = others != UNKNOWN
    assert known.mean() > 0.5
    assert (others == truth[answers.text])[known].mean() > 0.97
