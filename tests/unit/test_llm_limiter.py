"""How many requests at once: more while the pace holds, half in a jam; and a server that fails is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.raters.llm.budget import Budget
from pipeline.raters.llm.config import Limits, Price
from pipeline.raters.llm.limiter import Breaker, Concurrency, State


def steady(concurrency: Concurrency, latency: float, rounds: int, now: float = 0.0) -> float:
    """Rounds of as many replies as there may be requests, each after the same time."""
    for _ in range(rounds):
        for _ in range(concurrency.limit):
            concurrency.replied(now, now + latency)
        now += latency
    return now


def test_it_grows_to_the_most_while_the_server_keeps_its_pace() -> None:
    concurrency = Concurrency(64)
    steady(concurrency, 0.2, 5)
    assert concurrency.limit == 64


def test_it_stops_growing_where_replies_come_slower() -> None:
    concurrency = Concurrency(1024)
    for _ in range(200):
        # a server that answers eight at a time
        latency = 0.2 * max(1.0, concurrency.limit / 8)
        steady(concurrency, latency, 1)
    assert 8 <= concurrency.limit <= 20


def test_a_jam_halves_it_once_and_it_recovers_by_one_at_a_time() -> None:
    concurrency = Concurrency(64)
    now = steady(concurrency, 0.2, 5)
    for _ in range(64):
        concurrency.overloaded(now, now + 0.1)
    assert concurrency.limit == 32
    steady(concurrency, 0.2, 1, now + 1)
    assert concurrency.limit == 33


def test_a_server_is_left_alone_for_as_long_as_it_asks() -> None:
    concurrency = Concurrency(8)
    concurrency.overloaded(0.0, 10.0, retry_after=5.0)
    concurrency.overloaded(0.0, 11.0, retry_after=1.0)
    assert concurrency.resume_at == 15.0


@given(st.integers(1, 300), st.lists(st.tuples(st.booleans(), st.floats(0, 10)), max_size=200))
def test_it_stays_between_one_and_the_most(most: int, happenings: list[tuple[bool, float]]) -> None:
    concurrency, now = Concurrency(most), 0.0
    for fine, latency in happenings:
        now += latency
        if fine:
            concurrency.replied(now - latency, now)
        else:
            concurrency.overloaded(now - latency, now)
        assert 1 <= concurrency.limit <= most


def test_a_server_that_fails_on_end_is_asked_now_and_then_by_one() -> None:
    breaker = Breaker(failures=3, wait=2.0, probes=2)
    for now in (0.0, 1.0, 2.0):
        assert breaker.may_ask(now)
        breaker.failed(now)
    assert breaker.state is State.OPEN
    assert not breaker.may_ask(3.9)
    assert breaker.may_ask(4.0)
    assert not breaker.may_ask(4.0), "one probe at a time"
    breaker.failed(5.0)
    assert not breaker.may_ask(8.9), "each probe in vain doubles the wait"
    assert breaker.may_ask(9.0)
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert not breaker.given_up


def test_a_server_that_does_not_come_back_is_given_up() -> None:
    breaker, now = Breaker(failures=1, wait=1.0, probes=2), 0.0
    breaker.failed(now)
    for _ in range(2):
        assert not breaker.given_up
        now = breaker.retry_at
        assert breaker.may_ask(now)
        breaker.failed(now)
    assert breaker.given_up


def test_a_budget_is_kept_to_about_one_replys_worth() -> None:
    budget = Budget(Limits(tokens=1_000), Price())
    assert not budget.must_wait(0)
    assert budget.must_wait(1), "nobody knows yet what a reply takes"
    budget.spend(80, 20)
    assert not budget.must_wait(8)
    assert budget.must_wait(9)
    for _ in range(8):
        budget.spend(80, 20)
    assert not budget.spent
    budget.spend(80, 20)
    assert budget.spent
    assert budget.words() == "the budget of 1,000 tokens is spent (1,000)"


def test_money_is_counted_by_what_goes_in_and_what_comes_out() -> None:
    budget = Budget(Limits(money=3.0), Price(input=1.0, output=10.0))
    budget.spend(1_000_000, 100_000)
    assert budget.money == 2.0
    assert budget.spent
    assert not Budget(Limits(), Price(input=1.0)).must_wait(1_000)
