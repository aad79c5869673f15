"""Choosing and weighing texts of many sources, and the plan of a training that must end in time."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.models.transformer.balance import answer_weights, choose_rows, first_sources
from pipeline.models.transformer.budget import Speed, plan_training
from saring.actions.training import parse_budget

_LENGTHS = np.full(1_000, 40)
_SPEED = Speed(learning=1_000, scoring=4_000)


def test_time_for_all_texts_twice_reads_them_twice() -> None:
    # 80,000 tokens at 1,000 a second, and 10 seconds for the held-out texts
    plan = plan_training(97, _LENGTHS, 40_000, _SPEED, longest=64, epochs=3)
    assert plan is not None
    assert (plan.length, plan.epochs, plan.tokens) == (64, 2, 40_000)
    assert (plan.scoring, plan.seconds) == (10, 87)


def test_no_more_epochs_than_were_asked_for_however_long_it_may_take() -> None:
    plan = plan_training(36_000, _LENGTHS, 40_000, _SPEED, longest=64, epochs=3)
    assert plan is not None
    assert (plan.epochs, plan.tokens) == (3, 40_000)


def test_less_time_reads_fewer_texts_and_still_less_cuts_them() -> None:
    some = plan_training(45, _LENGTHS, 40_000, _SPEED, longest=64, epochs=3)
    few = plan_training(25, _LENGTHS, 40_000, _SPEED, longest=64, epochs=3)
    assert some is not None
    assert few is not None
    assert (some.length, some.epochs) == (64, 1)
    assert 20_000 <= some.tokens < 40_000
    assert (few.length, few.epochs) == (32, 1)
    # learning, scoring and a share to spare are within the time
    for plan, seconds in ((some, 45), (few, 25)):
        assert plan.tokens / _SPEED.learning + plan.scoring < seconds


def test_no_time_to_learn_is_no_plan() -> None:
    assert plan_training(8, _LENGTHS, 40_000, _SPEED, longest=64, epochs=3) is None


@pytest.mark.parametrize(("text", "seconds"), [("20m", 1200), ("1h30m", 5400), ("90s", 90), (" 2h ", 7200)])
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "m", "0m", "-5m", "1.5h", "5m2h", "20 minutes"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="such as 20m"):
        parse_budget(text)


def two_sources() -> tuple[np.ndarray, np.ndarray]:
    """900 texts of one source with 10 positives, and 100 of another that alone knows the second label."""
    truth = np.full((1_000, 2), -1, dtype=np.int8)
    truth[:900, 0] = 0
    truth[:10, 0] = 1
    truth[900:, 1] = np.arange(100) % 2
    return truth, first_sources(["large"] * 900 + ["small,other"] * 100, 1_000)


def test_no_source_dominates_and_the_mean_weight_stays_1() -> None:
    truth, sources = two_sources()
    weights = answer_weights(truth, sources)
    assert weights[truth >= 0].mean() == pytest.approx(1, abs=0.01)
    assert (weights[truth < 0] == 0).all()
    large, small = weights[:900, 0].sum(), weights[900:, 1].sum()
    # nine times the texts, three times the weight
    assert large / small == pytest.approx(3, rel=0.01)
    # without sources, labels are balanced alone
    assert (answer_weights(truth, first_sources((), 1_000)) == weights).all()


def test_rare_answers_are_chosen_first_and_the_rest_fills_up() -> None:
    truth, sources = two_sources()
    costs = np.full(1_000, 3)
    rows = choose_rows(truth, sources, costs, 3 * 300, seed=1)
    assert len(rows) == 300
    assert (np.diff(rows) > 0).all()
    assert (truth[rows, 0] == 1).sum() >= 9
    assert (rows >= 900).sum() > 80
    assert (choose_rows(truth, sources, costs, 3 * 300, seed=1) == rows).all()
    assert (choose_rows(truth, sources, costs, 3_000, seed=1) == np.arange(1_000)).all()
    assert len(choose_rows(truth, sources, costs, 2, seed=1)) == 0
