"""Look for what people should know, send it, try the channels, and list what was sent."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import NoticeError, UsageError
from pipeline.notices.config import NoticesConfig, notices_config
from pipeline.notices.deliver import Delivered, send_through, sender_name
from pipeline.notices.deliver import deliver as deliver_notices
from pipeline.notices.find import look_at_disk, look_at_queue, look_at_runs
from pipeline.notices.kinds import Kind
from pipeline.notices.message import Message
from pipeline.notices.record import notify as record
from pipeline.store.session import open_session
from pipeline.store.tables.notices import DeliveryState
from saring.context import Context


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SentThrough:
    """A notice in one channel."""

    channel: str
    state: DeliveryState
    attempts: int
    sent_at: datetime | None
    #: number of notices that were held back before it
    held_back: int
    error: str | None


@dataclass(frozen=True, slots=True)
class KeptNotice:
    """A notice, and what was sent of it."""

    id: uuid.UUID
    kind: str
    subject: str
    message: str
    at: datetime
    #: time at which the state that it speaks of ended
    over_at: datetime | None
    deliveries: Sequence[SentThrough]


@dataclass(frozen=True, slots=True)
class Trial:
    """Result of a test notice in a channel."""

    channel: str
    type: str
    #: the receiver, without secrets
    place: str
    #: None: the receiver took it
    error: str | None


def notify(home: Context, kind: Kind, subject: str, message: str, *, event: str | None = None) -> bool:
    """Record a notice; a job sends it soon. See `pipeline.notices.record.notify`.

    Returns:
        True if it was recorded; False if the event has a notice already.
    """
    with home.begin() as session:
        return record(session, kind, subject, message, event=event)


def look(home: Context, *, clock: Callable[[], datetime] = _now) -> int:
    """Record what people should know; the number of new notices.

    Without a readable configuration, the default for a full disk holds.
    """
    now = clock()
    try:
        config = notices_config(home.settings)
    except UsageError:
        config = NoticesConfig()
    with home.begin() as session:
        recorded = look_at_runs(session, now)
        recorded += look_at_queue(session, now)
        recorded += look_at_disk(session, home.settings.home, config.disk_low_gb * 1e9, now)
    return recorded


def deliver(home: Context, *, clock: Callable[[], datetime] = _now) -> Delivered | None:
    """Send the notices whose turn it is; None: another process sends.

    Raises:
        UsageError: the configuration is not valid.
    """
    return deliver_notices(home.engine, notices_config(home.settings), clock)


def try_channels(
    home: Context, *, kind: Kind | None = None, channel: str | None = None, clock: Callable[[], datetime] = _now
) -> list[Trial]:
    """Send a test notice now, through the channels of a kind, through one channel, or through all of them.

    It is not recorded, and holds nothing back.

    Raises:
        UsageError: the configuration is not valid, or has no such channel.
    """
    config = notices_config(home.settings)
    if channel is not None and channel not in config.channels:
        raise UsageError(f"{home.settings.notices_file} has no channel {channel!r}")
    if not config.channels:
        raise UsageError(f"{home.settings.notices_file} describes no channel: docs/notices.md has an example")
    names = [channel] if channel is not None else list(config.channels if kind is None else config.channels_of(kind))
    message = Message(
        id=uuid.uuid4(),
        kind=(kind or Kind.RUN_FAILED).value,
        subject="test",
        message="somebody tried this channel with `saring notices test`: nothing happened, and nothing is to be done",
        at=clock(),
        sender=sender_name(config),
        is_test=True,
    )
    trials = []
    for name in names:
        used, error = config.channels[name], None
        try:
            send_through(used, message)
        except NoticeError as problem:
            error = str(problem)
        trials.append(Trial(name, used.type, used.place, error))
    return trials


def recent_notices(
    home: Context, *, kind: Kind | None = None, before: datetime | None = None, limit: int = 50
) -> list[KeptNotice]:
    """Notices with their deliveries, newest first.

    Args:
        home: the home.
        kind: only of this kind.
        before: only those from before this time.
        limit: how many at most.
    """
    n, d = store.Notice, store.NoticeDelivery
    query = select(n).order_by(n.at.desc(), n.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(n.kind == kind.value)
    if before is not None:
        query = query.where(n.at < before)
    with open_session(home.engine) as session:
        notices = session.scalars(query).all()
        deliveries: defaultdict[uuid.UUID, list[SentThrough]] = defaultdict(list)
        ids = [notice.id for notice in notices]
        for row in session.scalars(select(d).where(d.notice_id.in_(ids)).order_by(d.channel)):
            through = SentThrough(row.channel, row.state, row.attempts, row.sent_at, row.held_back, row.error)
            deliveries[row.notice_id].append(through)
    return [
        KeptNotice(
            notice.id, notice.kind, notice.subject, notice.message, notice.at, notice.over_at, deliveries[notice.id]
        )
        for notice in notices
    ]


def failed_lately(session: Session, since: datetime) -> dict[str, int]:
    """The number of notices that each channel failed to send since a time."""
    n, d = store.Notice, store.NoticeDelivery
    rows = session.execute(
        select(d.channel, func.count())
        .join(n, n.id == d.notice_id)
        .where(d.state == DeliveryState.FAILED, n.at > since)
        .group_by(d.channel)
        .order_by(d.channel)
    ).all()
    return {str(channel): int(count) for channel, count in rows}
