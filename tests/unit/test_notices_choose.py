"""What is sent now, and what is held back: at most one of a kind and subject in a period, and the last word is told."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.notices.choose import MOST_ATTEMPTS, Waiting, choose, wait_after
from pipeline.notices.config import Command, NoticesConfig, Rule
from pipeline.notices.kinds import Kind

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_CONFIG = NoticesConfig(
    channels={name: Command(type="command", run=("true",)) for name in ("a", "b")},
    kinds={Kind.GATE_REJECTED: Rule(to=("b",)), Kind.DRIFT: Rule(every_hours=0)},
    every_hours=6,
)


def waits(
    at: datetime = _NOON,
    *,
    channel: str = "a",
    kind: Kind = Kind.RUN_FAILED,
    subject: str = "embed",
    attempts: int = 0,
    not_before: datetime | None = None,
    is_over: bool = False,
) -> Waiting:
    return Waiting(uuid.uuid4(), channel, kind.value, subject, at, attempts, not_before or at, is_over)


def test_the_newest_is_sent_and_stands_for_the_others() -> None:
    old, newest, middle = waits(_NOON - 2 * _HOUR), waits(_NOON), waits(_NOON - _HOUR)
    [turn] = choose([old, newest, middle], {}, _CONFIG, _NOON).send
    assert (turn.newest, turn.held) == (newest, (old, middle))


@pytest.mark.parametrize(("since", "is_sent"), [(5.99, False), (6, True), (24, True)])
def test_within_the_period_nothing_more_is_sent(since: float, is_sent: bool) -> None:
    last = {("a", "run-failed", "embed"): _NOON - since * _HOUR}
    assert bool(choose([waits()], last, _CONFIG, _NOON).send) is is_sent


def test_other_channels_kinds_and_subjects_have_periods_of_their_own() -> None:
    others = [waits(channel="b"), waits(subject="train"), waits(kind=Kind.DISK_LOW)]
    last = {("a", "run-failed", "embed"): _NOON - _HOUR}
    assert {turn.newest for turn in choose([waits(), *others], last, _CONFIG, _NOON).send} == set(others)


def test_a_kind_may_have_no_period() -> None:
    drift = waits(kind=Kind.DRIFT)
    assert choose([drift], {drift.stream: _NOON}, _CONFIG, _NOON).send[0].newest == drift


def test_what_is_over_is_not_told_late() -> None:
    ended, lasts = waits(kind=Kind.QUEUE_EMPTY, is_over=True), waits(_NOON - _HOUR, kind=Kind.QUEUE_EMPTY)
    choice = choose([ended, lasts], {}, _CONFIG, _NOON)
    assert ([turn.newest for turn in choice.send], choice.over) == ([lasts], (ended,))


def test_a_channel_that_is_gone_gets_nothing() -> None:
    gone, unwanted = waits(channel="c"), waits(kind=Kind.GATE_REJECTED)
    choice = choose([gone, unwanted], {}, _CONFIG, _NOON)
    assert (choice.send, set(choice.lost)) == ((), {gone, unwanted})


def test_a_new_notice_does_not_hasten_the_next_attempt() -> None:
    tried = waits(_NOON - _HOUR, attempts=3, not_before=_NOON + timedelta(minutes=2))
    assert choose([tried, waits()], {}, _CONFIG, _NOON).send == ()
    later = _NOON + timedelta(minutes=2)
    newest = waits()
    [turn] = choose([tried, newest], {}, _CONFIG, later).send
    assert (turn.newest, turn.held) == (newest, (tried,))


def test_attempts_get_rarer_and_end_within_hours() -> None:
    waits_after = [wait_after(attempts) for attempts in range(1, MOST_ATTEMPTS)]
    assert waits_after[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    assert timedelta(hours=1) < sum(waits_after, timedelta()) < timedelta(hours=6)
