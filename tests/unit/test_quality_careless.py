"""The rule for careless raters: who is flagged, why, and how often a careful person is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.measure.arrays import UNKNOWN
from sync.quality.answers import Answers
from sync.quality.careless import Care, Sign, carelessness, longest_run
from sync.quality.consensus import consensus
from tests.support.volunteers import Volunteer, crew, majority_of_others, simulate

_SEEDS = 50
_CARELESS = {
    "guesses": Volunteer(guesses=1.0),
    "always the same": Volunteer(always=4),
    "too fast to read": Volunteer(miss=0.6, false_alarm=0.15, seconds=0.9),
    "follows ticks unread": Volunteer(follows=1.0, seconds=1.0),
}


def judge(seed: int, *, people: int = 6, joined_by: Volunteer | None = None) -> tuple[Answers, list[Care]]:
    rng = np.random.default_rng(seed)
    who = [*crew(rng, people), *([joined_by] if joined_by else [])]
    # a follower is told apart where ticks are wrong now and then
    answers, _ = simulate(rng, who, texts=240, planted=0.2, prediction_errors=0.08)
    return answers, carelessness(answers, majority_of_others(answers), rng=rng)


def test_careful_people_are_hardly_ever_flagged() -> None:
    flagged = [one.careless for seed in range(_SEEDS) for one in judge(seed)[1]]
    assert len(flagged) == 6 * _SEEDS
    assert sum(flagged) <= 3


@pytest.mark.parametrize("pattern", _CARELESS)
def test_the_careless_are_flagged_with_reasons_and_nobody_beside_them(pattern: str) -> None:
    found, beside = 0, 0
    for seed in range(15):
        *careful, one = judge(seed, people=5, joined_by=_CARELESS[pattern])[1]
        found += one.careless
        beside += sum(other.careless for other in careful)
        if one.careless:
            assert one.findings and all(any(c.isdigit() for c in finding.words) for finding in one.findings)
    assert found >= 14
    assert beside <= 1


def test_each_pattern_is_told_by_its_own_sign() -> None:
    signs = {
        name: {finding.sign for finding in judge(1, people=5, joined_by=who)[1][-1].findings}
        for name, who in _CARELESS.items()
    }
    assert Sign.AGAINST_CONSENSUS in signs["guesses"]
    assert Sign.REPEATS in signs["always the same"]
    assert Sign.UNREAD in signs["too fast to read"]
    assert {Sign.ACCEPTS, Sign.UNREAD} <= signs["follows ticks unread"]


@pytest.mark.parametrize("who", [Volunteer(seconds=1.6), Volunteer(follows=0.9)], ids=["fast", "trusting"])
def test_being_fast_or_trusting_alone_is_no_carelessness(who: Volunteer) -> None:
    rng = np.random.default_rng(4)
    # ticks are right, so that trusting them is no mistake
    answers, _ = simulate(rng, [*crew(rng, 5), who], texts=240, prediction_errors=0.0)
    one = carelessness(answers, majority_of_others(answers), rng=rng)[-1]
    assert not one.careless, one.findings


@pytest.mark.parametrize(("known", "flagged"), [(0.1, True), (1.0, False)])
def test_answering_faster_than_anybody_reads_is_borne_only_of_those_who_are_seen_to_be_right(
    known: float, flagged: bool
) -> None:
    """Nobody's answers are checked by another's here, and all that are checked are right."""
    rng = np.random.default_rng(5)
    who = [*crew(rng, 5), Volunteer(miss=0.05, false_alarm=0.0, seconds=0.9)]
    answers, _ = simulate(rng, who, texts=360, raters_a_text=1, planted=known)
    assert [one.careless for one in carelessness(answers, None, rng=rng)] == [False] * 5 + [flagged]


def test_one_text_is_not_held_against_a_rater_under_two_names() -> None:
    """Where something is known of every text, the consensus of the others is no second yardstick."""
    rng = np.random.default_rng(2)
    answers, truth = simulate(rng, [*crew(rng, 5), Volunteer(miss=0.33, false_alarm=0.07)], texts=240, planted=1.0)
    one = carelessness(answers, truth[answers.text], rng=rng)[-1]
    assert {finding.sign for finding in one.findings} == {Sign.MISSES_KNOWN}
    assert not one.careless


def test_the_model_of_the_others_serves_as_well_as_their_majority() -> None:
    answers, _ = judge(2, people=5, joined_by=_CARELESS["always the same"])
    cares = carelessness(answers, consensus(answers).others, rng=np.random.default_rng(0))
    assert [one.careless for one in cares] == [False] * 5 + [True]


def test_nothing_is_said_of_a_few_answers() -> None:
    rng = np.random.default_rng(3)
    answers, _ = simulate(rng, [*crew(rng, 5), Volunteer(always=0, seconds=0.5)], texts=240)
    mine = np.flatnonzero(answers.rater == 5)
    few = np.ones(len(answers), dtype=bool)
    few[mine[5:]] = False
    one = carelessness(answers.where(few), majority_of_others(answers)[few], rng=rng)[-1]
    assert (one.careless, one.findings) == (False, ())
    assert one.checked <= 5


def test_a_lone_rater_has_nobody_to_be_compared_with() -> None:
    rng = np.random.default_rng(3)
    answers, _ = simulate(rng, [Volunteer()], texts=100, raters_a_text=1)
    [one] = carelessness(answers, None, rng=rng)
    assert (one.careless, one.findings) == (False, ())


def test_times_that_were_not_measured_are_no_sign() -> None:
    answers, _ = judge(1, people=5, joined_by=_CARELESS["follows ticks unread"])
    untimed = replace(answers, seconds=np.full(len(answers), np.nan))
    one = carelessness(untimed, np.full_like(answers.said, UNKNOWN), rng=np.random.default_rng(0))[-1]
    assert not {Sign.FAST, Sign.UNREAD} & {finding.sign for finding in one.findings}


def test_no_answers_give_no_findings() -> None:
    answers, _ = judge(1)
    none = answers.where(np.zeros(len(answers), dtype=bool))
    assert not any(one.careless or one.findings for one in carelessness(none, none.said, rng=np.random.default_rng(0)))


def test_the_longest_run_is_counted_in_each_row() -> None:
    rows = np.array([[1, 1, 2, 2, 2, 1], [3, 3, 3, 3, 3, 3], [1, 2, 1, 2, 1, 2]])
    assert longest_run(rows).tolist() == [3, 6, 1]
