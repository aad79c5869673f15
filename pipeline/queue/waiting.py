"""The waiting texts of the queue: read them in serving order, move them, remove them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Literal

from sqlalchemy import ColumnElement, bindparam, exists, func, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import QueueError
from pipeline.store import locks
from pipeline.store.locks import Lock
from pipeline.store.tables.human_loop import QueueState, TaskState

#: waits to be pushed; is in Label Studio without an answer; was answered
Place = Literal["queued", "sent", "answered"]


def lock_queue(session: Session) -> None:
    """Lock the queue until the caller's transaction ends.

    Take this lock before reading the waiting texts in order to build, push or reorder.
    """
    locks.take(session, Lock.QUEUE)


def queued(
    session: Session,
    limit: int | None = None,
    *,
    strategy: str | None = None,
    label: str | None = None,
    place: Place = "queued",
) -> Sequence[store.QueueItem]:
    """The texts that wait to be pushed, or that were, in serving order.

    Args:
        session: an open session.
        limit: at most so many texts.
        strategy: only texts drawn by this strategy.
        label: only texts drawn for this label, or that probably have it.
        place: where they are.
    """
    q = store.QueueItem
    query = select(q).where(_in(place)).order_by(q.priority.desc(), q.id).limit(limit)
    if strategy is not None:
        query = query.where(q.strategy == strategy)
    if label is not None:
        query = query.where((q.label == label) | (q.expected.any_() == label))
    return session.scalars(query).all()


def waiting(session: Session, place: Place = "queued") -> int:
    """Count the texts that wait to be pushed, or that were."""
    return session.execute(select(func.count()).select_from(store.QueueItem).where(_in(place))).scalar_one()


def _in(place: Place) -> ColumnElement[bool]:
    q, t = store.QueueItem, store.Task
    if place == "queued":
        return q.state == QueueState.QUEUED
    states = (TaskState.DONE,) if place == "answered" else (TaskState.PUSHING, TaskState.OPEN)
    return exists().where(t.queue_item_id == q.id, t.state.in_(states)).correlate(q)


def bump(session: Session, text_id: uuid.UUID, *, first: bool) -> None:
    """Move a waiting text before or behind all others, which keep their order.

    Raises:
        QueueError: the text is not waiting.
    """
    # Who only looks at the queue need not wait for what draws it.
    from pipeline.queue.serving_order import priorities

    lock_queue(session)
    items = list(queued(session))
    chosen = _waiting(items, text_id)
    items.remove(chosen)
    items.insert(0 if first else len(items), chosen)
    q = store.QueueItem
    session.connection().execute(
        update(q.__table__).where(q.__table__.c.id == bindparam("item")).values(priority=bindparam("place")),  # type: ignore[arg-type]
        [{"item": item.id, "place": float(place)} for item, place in zip(items, priorities(len(items)), strict=True)],
    )
    session.expire_all()


def drop(session: Session, text_id: uuid.UUID) -> None:
    """Remove a waiting text from the queue, so that it is never drawn again.

    Raises:
        QueueError: the text is not waiting.
    """
    lock_queue(session)
    _waiting(queued(session), text_id).state = QueueState.REFUSED


def _waiting(items: Sequence[store.QueueItem], text_id: uuid.UUID) -> store.QueueItem:
    for item in items:
        if item.text_id == text_id:
            return item
    raise QueueError(f"text {text_id} is not waiting in the queue: see `saring queue show`")
