"""Runs that somebody asked for. A request is stored before its message is sent, so none is lost with a message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import RunMissing
from pipeline.runs.values import Values, to_values
from pipeline.store.session import open_session
from pipeline.store.tables.work import RunRequest

_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Request:
    """A run that somebody asked for."""

    id: int
    stage: str
    #: values of the stage's form
    form: dict[str, Any]
    asked_by: str
    asked_at: datetime
    #: None: no worker has begun it
    settled_at: datetime | None
    #: ids of the runs that were begun
    runs: tuple[int, ...]
    error: str | None

    @property
    def is_waiting(self) -> bool:
        """True where no worker has begun it yet."""
        return self.settled_at is None


def keep_request(engine: Engine, stage: str, form: Values, *, asked_by: str = "") -> int:
    """Store a request, and return its id."""
    with open_session(engine) as session, session.begin():
        row = store.RunRequest(stage=stage, form=to_values(form), asked_by=asked_by)
        session.add(row)
        session.flush()
        return row.id


def read_request(session: Session, number: int) -> Request:
    """A request by its id.

    Raises:
        RunMissing: there is none.
    """
    row = session.get(store.RunRequest, number, populate_existing=True)
    if row is None:
        raise RunMissing(f"there is no request {number}: see `saring runs list`")
    return _of(row)


def request_of_run(session: Session, run_id: int) -> Request | None:
    """The request that a run was begun for; None: it was begun by a command, a program or the schedule."""
    q = store.RunRequest
    row = session.scalars(select(q).where(q.runs.contains([run_id])).order_by(q.id.desc()).limit(1)).first()
    return None if row is None else _of(row)


def open_requests(session: Session, *, limit: int = 20) -> list[Request]:
    """The requests that no worker has begun yet, oldest first."""
    q = store.RunRequest
    return [_of(row) for row in session.scalars(select(q).where(q.settled_at.is_(None)).order_by(q.id).limit(limit))]


def settle(session: Session, number: int, runs: Sequence[int], error: str | None = None) -> None:
    """Record that there is nothing more to do for a request: its runs, and the reason why others could not begin."""
    q = store.RunRequest
    kept = error.replace("\0", "")[:_LONGEST_ERROR] if error is not None else None
    session.execute(update(q).where(q.id == number).values(settled_at=func.now(), runs=list(runs), error=kept))


def add_run(session: Session, number: int, run_id: int, *, last: bool) -> None:
    """Record one of the runs of a request, in the transaction that opens it; the last one settles the request."""
    q = store.RunRequest
    settled = {"settled_at": func.now()} if last else {}
    runs = func.array_append(func.array_remove(q.runs, run_id), run_id)
    session.execute(update(q).where(q.id == number).values(runs=runs, **settled))


def note_trouble(engine: Engine, number: int, error: str) -> None:
    """Record why a request waits on, after an error that may pass."""
    q = store.RunRequest
    with open_session(engine) as session, session.begin():
        session.execute(
            update(q)
            .where(q.id == number, q.settled_at.is_(None))
            .values(error=error.replace("\0", "")[:_LONGEST_ERROR])
        )


def withdraw(engine: Engine, number: int, reason: str) -> bool:
    """Settle a waiting request without a run; False if it was settled before."""
    q = store.RunRequest
    with open_session(engine) as session, session.begin():
        changed = session.execute(
            update(q)
            .where(q.id == number, q.settled_at.is_(None))
            .values(settled_at=func.now(), error=reason)
            .returning(q.id)
        )
        return changed.first() is not None


def lost_requests(engine: Engine, *, now: datetime, resend_after: timedelta) -> list[Request]:
    """Waiting requests whose message was sent so long ago that it may be lost; they are marked as sent again."""
    q = store.RunRequest
    with open_session(engine) as session, session.begin():
        rows = session.scalars(
            update(q).where(q.settled_at.is_(None), q.sent_at < now - resend_after).values(sent_at=now).returning(q)
        ).all()
        return sorted((_of(row) for row in rows), key=lambda request: request.id)


def _of(row: RunRequest) -> Request:
    return Request(
        row.id,
        row.stage,
        dict(row.form),
        row.asked_by,
        row.asked_at,
        row.settled_at,
        tuple(row.runs),
        row.error,
    )
