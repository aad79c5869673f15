"""Record that something happened. Nothing is sent here, so the caller's transaction never waits for a network."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.notices.kinds import LASTING, Kind
from pipeline.notices.message import LONGEST_MESSAGE, LONGEST_SUBJECT, one_line

#: a state that lasts is told of again after this time
_REMINDED = timedelta(days=1)


def notify(
    session: Session, kind: Kind, subject: str, message: str, *, event: str | None = None, at: datetime | None = None
) -> bool:
    """Record a notice in the caller's transaction; a job sends it within `SARING_LOOK_SECONDS`.

    Args:
        session: an open transaction.
        kind: what it is about.
        subject: what exactly; notices of one kind and subject are throttled together.
        message: one line that says what happened and what to do. No text of people and no secret.
        event: a key of what happened: the second notice with the same key is not recorded. None: it happened just now.
        at: time at which it happened; None: now.

    Returns:
        True if it was recorded; False if the event has a notice already.
    """
    n = store.Notice
    values = {
        "id": uuid.uuid4(),
        "event": event if event is not None else str(uuid.uuid4()),
        "kind": kind.value,
        "subject": one_line(subject, LONGEST_SUBJECT),
        "message": one_line(message, LONGEST_MESSAGE),
    } | ({} if at is None else {"at": at})
    added = session.execute(insert(n).values(**values).on_conflict_do_nothing(index_elements=["event"]).returning(n.id))
    return added.first() is not None


def note_state(session: Session, kind: Kind, subject: str, message: str | None, now: datetime) -> bool:
    """Record the beginning or the end of a state; while it lasts, it is told of once a day.

    Args:
        session: an open transaction.
        kind: one of `LASTING`.
        subject: what is in that state.
        message: what to say of it; None: it is not in that state.
        now: the time.

    Returns:
        True if a notice was recorded.
    """
    assert kind in LASTING
    n = store.Notice
    lasting = (n.kind == kind.value, n.subject == one_line(subject, LONGEST_SUBJECT), n.over_at.is_(None))
    begun = session.scalars(select(n.at).where(*lasting).order_by(n.at.desc()).limit(1)).first()
    if message is not None and begun is not None and now - begun < _REMINDED:
        return False
    if begun is not None:
        session.execute(update(n).where(*lasting).values(over_at=now))
    if message is None:
        return False
    return notify(session, kind, subject, message, event=f"{kind}:{subject}:{now.isoformat()}", at=now)
