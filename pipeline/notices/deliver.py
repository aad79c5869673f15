"""Send what is recorded.

Each attempt is written down before it is made and its outcome after it. One process sends at a time. A process that
dies between the two leaves a notice of which nobody knows whether it arrived: it is sent again after a while, with the
same id, by which a webhook, a mail program or a command knows it. Everything else is sent once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Engine, Update, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import NoticeError, NoticeUndelivered
from pipeline.notices import mail, program, webhook
from pipeline.notices.choose import MOST_ATTEMPTS, Stream, Turn, Waiting, choose, wait_after
from pipeline.notices.config import Command, Email, NoticesConfig, Webhook
from pipeline.notices.message import Message
from pipeline.store.locks import lock_key, tried
from pipeline.store.session import open_session
from pipeline.store.tables.notices import DeliveryState

#: notices that one call sends: the others wait for the next
_MOST_SENDS = 20
#: waiting notices that are looked at
_MOST_WAITING = 5_000
#: age at which notices are removed
_KEPT = timedelta(days=60)
_OPEN = (DeliveryState.WAITING, DeliveryState.SENDING)

AnyChannel = Webhook | Email | Command
Send = Callable[[AnyChannel, Message], None]


@dataclass(frozen=True, slots=True)
class Delivered:
    """Outcome of one sending of the notices."""

    #: sent through a channel
    sent: int = 0
    #: will be tried again
    delayed: int = 0
    #: were given up, with their reason in the store
    failed: int = 0
    #: were held back, and counted in one that was sent
    held: int = 0


def send_through(channel: AnyChannel, message: Message) -> None:
    """Send a message through a channel.

    Raises:
        NoticeUndelivered: it may succeed later.
        NoticeError: it will not succeed as configured.
    """
    if isinstance(channel, Webhook):
        webhook.send(channel, message)
    elif isinstance(channel, Email):
        mail.send(channel, message)
    else:
        program.send(channel, message)


def deliver(
    engine: Engine, config: NoticesConfig, clock: Callable[[], datetime], *, send: Send = send_through
) -> Delivered | None:
    """Send the notices whose turn it is.

    Args:
        engine: the store.
        config: channels and periods.
        clock: gives the time.
        send: sends a message through a channel.

    Returns:
        What was done; None: another process sends.
    """
    with tried(engine, lock_key("job", "notices")) as alone:
        if not alone:
            return None
        with open_session(engine) as session, session.begin():
            _remove_old(session, clock())
            _route(session, config, clock())
            turns = _turns(session, config, clock())
        outcomes = [_take_turn(engine, config, turn, clock, send) for turn in turns]
    return Delivered(
        sent=sum(state is DeliveryState.SENT for state, _ in outcomes),
        delayed=sum(state is DeliveryState.WAITING for state, _ in outcomes),
        failed=sum(state is DeliveryState.FAILED for state, _ in outcomes),
        held=sum(held for state, held in outcomes if state is DeliveryState.SENT),
    )


def sender_name(config: NoticesConfig) -> str:
    """The name of this install in its notices."""
    return config.name or socket.gethostname()


def _route(session: Session, config: NoticesConfig, now: datetime) -> None:
    """Make the deliveries of new notices."""
    n = store.Notice
    new = session.scalars(select(n).where(n.routed_at.is_(None)).order_by(n.at).limit(_MOST_WAITING)).all()
    rows = [
        {"notice_id": notice.id, "channel": channel, "not_before": now}
        for notice in new
        for channel in config.channels_of(notice.kind)
    ]
    if rows:
        session.execute(insert(store.NoticeDelivery).on_conflict_do_nothing(), rows)
    for notice in new:
        notice.routed_at = now


def _turns(session: Session, config: NoticesConfig, now: datetime) -> Sequence[Turn]:
    d, n = store.NoticeDelivery, store.Notice
    rows = session.execute(
        select(d, n).join(n, n.id == d.notice_id).where(d.state.in_(_OPEN)).order_by(n.at.desc()).limit(_MOST_WAITING)
    ).all()
    waiting = [
        Waiting(
            notice.id,
            delivery.channel,
            notice.kind,
            notice.subject,
            notice.at,
            delivery.attempts,
            delivery.not_before,
            notice.over_at is not None,
        )
        for delivery, notice in rows
    ]
    longest = max((config.period(each.kind) for each in waiting), default=timedelta())
    choice = choose(waiting, _last_sent(session, now - longest), config, now)
    _settle(session, choice.over, DeliveryState.OVER)
    _settle(session, choice.lost, DeliveryState.FAILED, "notices.yaml no longer sends this kind there")
    return choice.send[:_MOST_SENDS]


def _last_sent(session: Session, since: datetime) -> dict[Stream, datetime]:
    d, n = store.NoticeDelivery, store.Notice
    rows = session.execute(
        select(d.channel, n.kind, n.subject, func.max(d.sent_at))
        .join(n, n.id == d.notice_id)
        .where(d.state == DeliveryState.SENT, d.sent_at > since)
        .group_by(d.channel, n.kind, n.subject)
    )
    return {(channel, kind, subject): at for channel, kind, subject, at in rows if at is not None}


def _take_turn(
    engine: Engine, config: NoticesConfig, turn: Turn, clock: Callable[[], datetime], send: Send
) -> tuple[DeliveryState, int]:
    """Send one notice; its new state, and how many it stands for beside itself."""
    newest = turn.newest
    attempts = max(each.attempts for each in (newest, *turn.held)) + 1
    with open_session(engine) as session, session.begin():
        notice = session.get_one(store.Notice, newest.notice)
        message = Message(
            notice.id,
            notice.kind,
            notice.subject,
            notice.message,
            notice.at,
            sender_name(config),
            len(turn.held),
            newest.attempts + 1,
        )
        session.execute(
            _change(newest).values(
                state=DeliveryState.SENDING, attempts=attempts, not_before=clock() + wait_after(attempts)
            )
        )
    error: str | None = None
    state, at = DeliveryState.SENT, None
    try:
        send(config.channels[newest.channel], message)
        at = clock()
    except NoticeUndelivered as problem:
        state, error = DeliveryState.WAITING, str(problem)
        if attempts >= MOST_ATTEMPTS:
            state, error = DeliveryState.FAILED, f"given up after {attempts} attempts: {problem}"
    except NoticeError as problem:
        state, error = DeliveryState.FAILED, str(problem)
    with open_session(engine) as session, session.begin():
        values = {"state": state, "sent_at": at, "error": error}
        session.execute(_change(newest).values(**values, held_back=len(turn.held) if at is not None else 0))
        if state is not DeliveryState.WAITING:
            told = DeliveryState.HELD if state is DeliveryState.SENT else state
            _settle(session, turn.held, told, error)
    return state, len(turn.held)


def _change(member: Waiting) -> Update:
    return update(store.NoticeDelivery).where(_is(member))


def _is(member: Waiting) -> ColumnElement[bool]:
    d = store.NoticeDelivery
    return and_(d.notice_id == member.notice, d.channel == member.channel)


def _settle(session: Session, members: Sequence[Waiting], state: DeliveryState, error: str | None = None) -> None:
    for first in range(0, len(members), 500):
        some = or_(*map(_is, members[first : first + 500]))
        session.execute(update(store.NoticeDelivery).where(some).values(state=state, error=error))


def _remove_old(session: Session, now: datetime) -> None:
    n = store.Notice
    session.execute(delete(n).where(n.at < now - _KEPT).execution_options(synchronize_session=False))
