"""Practice: people of differing skill are told apart with a known error, and texts are those of the taxonomy."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest

from pipeline.measure.sequential import ShareTest
from pipeline.taxonomy import load_taxonomy
from saring.actions.practice import TEST, Question, is_right, question_at

_TAXONOMY = load_taxonomy()


def _passes(share: float, people: int = 4_000) -> tuple[float, float]:
    """Share of simulated people who pass their first round, and the mean number of answers until it ends."""
    rng = np.random.default_rng(20260101)
    passed = counts = 0
    for _ in range(people):
        answers = (bool(draw) for draw in rng.random(10_000) < share)
        progress = TEST.of(answers)
        passed += progress.passed is True
        counts += progress.answers
    return passed / people, counts / people


def test_five_people_of_differing_skill_are_told_apart_with_known_error() -> None:
    shares = {share: _passes(share) for share in (0.95, 0.85, 0.75, 0.6, 0.4)}
    rates = [rate for rate, _ in shares.values()]
    assert rates == sorted(rates, reverse=True)
    # Wald's bounds hold to first order: what is left over at the end makes the errors smaller
    assert shares[0.85][0] >= 1 - TEST.error
    assert shares[0.6][0] <= TEST.error
    assert shares[0.95][0] > 0.99
    assert shares[0.4][0] < 0.01
    # and nobody sits there for an hour
    assert max(mean for _, mean in shares.values()) < 35


def test_a_test_ends_as_soon_as_enough_is_known_and_says_how_much_is_missing() -> None:
    test = ShareTest(poor=0.5, good=0.9, error=0.05)
    needed = math.ceil(math.log(19) / math.log(0.9 / 0.5))
    assert test.of([]).needed == needed
    assert test.of([True] * (needed - 1)).needed == 1
    ended = test.of([True] * 100)
    assert (ended.passed, ended.answers, ended.needed) == (True, needed, 0)
    assert test.of([False] * 100).passed is False
    assert test.of([True, False]).needed > needed


def test_each_label_comes_once_before_one_comes_again_and_nobody_has_the_order_of_another() -> None:
    size = len(_TAXONOMY.keys)
    rounds = [[question_at(_TAXONOMY, account, 1, place) for place in range(1, 2 * size + 1)] for account in (1, 2)]
    for questions in rounds:
        assert {question.label for question in questions[:size]} == set(_TAXONOMY.keys)
        assert {question.label for question in questions[size:]} == set(_TAXONOMY.keys)
    assert [q.label for q in rounds[0]] != [q.label for q in rounds[1]]
    assert question_at(_TAXONOMY, 1, 1, 1) == rounds[0][0]
    near = [q for q in islice((question_at(_TAXONOMY, 3, 1, place) for place in range(1, 400)), 399) if not q.has]
    assert 0.2 < len(near) / 399 < 0.47
    assert all(question.why for question in near)
    for question in rounds[0]:
        label = _TAXONOMY[question.label]
        known = label.all_exemplars() if question.has else [miss.text for miss in label.all_near_misses()]
        assert question.text in known


@pytest.mark.parametrize(
    ("label", "has", "chosen", "right"),
    [
        ("hate", True, ["hate"], True),
        # of the other labels nothing is known
        ("hate", True, ["hate", "racist"], True),
        ("hate", True, ["hate", "safe for work"], False),
        ("hate", True, [], False),
        ("hate", False, ["hate"], False),
        ("hate", False, [], True),
        ("hate", False, ["informative"], True),
    ],
)
def test_an_answer_is_held_against_what_is_known_only(label: str, has: bool, chosen: list[str], right: bool) -> None:
    assert is_right(Question(1, 1, "teks", label, has), chosen, _TAXONOMY) is right
