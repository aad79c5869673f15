"""The choice of what is sent now and what is held back."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.notices.config import NoticesConfig

#: attempts after which a notice has failed
MOST_ATTEMPTS = 8
#: the wait after the first attempt, doubled with each: about two hours in all
_FIRST_WAIT = timedelta(minutes=1)

#: channel, kind and subject: what is throttled together
Stream = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that waits for a channel."""

    notice: uuid.UUID
    channel: str
    kind: str
    subject: str
    at: datetime
    attempts: int
    not_before: datetime
    #: True: the state that it speaks of has ended
    is_over: bool

    @property
    def stream(self) -> Stream:
        """Channel, kind and subject."""
        return self.channel, self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Turn:
    """A notice to send now, with those before it that it stands for."""

    newest: Waiting
    held: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Turns and endings for the notices that wait."""

    send: tuple[Turn, ...]
    #: they speak of states that have ended
    over: tuple[Waiting, ...] = ()
    #: their channel is no longer in the configuration, or their kind no longer goes there
    lost: tuple[Waiting, ...] = ()


def choose(
    waiting: Iterable[Waiting], last_sent: Mapping[Stream, datetime], config: NoticesConfig, now: datetime
) -> Choice:
    """Choose what is sent now.

    Of one channel, kind and subject the newest notice is sent, if none was sent within the period; it says how many
    were before it. So the last thing that happened is always told, at the end of the period at the latest.

    Args:
        waiting: the notices that wait.
        last_sent: the time of the last notice that was sent, by channel, kind and subject.
        config: channels and periods.
        now: the time.
    """
    streams: defaultdict[Stream, list[Waiting]] = defaultdict(list)
    over, lost = [], []
    for each in waiting:
        if each.channel not in config.channels_of(each.kind):
            lost.append(each)
        elif each.is_over:
            over.append(each)
        else:
            streams[each.stream].append(each)
    send = []
    for stream, members in streams.items():
        *held, newest = sorted(members, key=lambda member: (member.at, member.notice))
        last = last_sent.get(stream)
        # What was tried sets the pace for the whole stream, or each new notice would be an attempt more.
        tried = max((member.not_before for member in members if member.attempts), default=newest.not_before)
        if tried <= now and newest.not_before <= now and (last is None or now - last >= config.period(stream[1])):
            send.append(Turn(newest, tuple(held)))
    return Choice(tuple(sorted(send, key=lambda turn: turn.newest.not_before)), tuple(over), tuple(lost))


def wait_after(attempts: int) -> timedelta:
    """Time until the next attempt, after so many."""
    return _FIRST_WAIT * int(2 ** max(attempts - 1, 0))
