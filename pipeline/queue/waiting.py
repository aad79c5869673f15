"""The waiting texts of the queue: read them in serving order, move them, remove them."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Collection, Sequence
from typing import Literal

from sqlalchemy import ColumnElement, Select, cast, exists, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import QueueError
from pipeline.plural import counted
from pipeline.store import locks
from pipeline.store.locks import Lock
from pipeline.store.tables.human_loop import QueueState, TaskState

#: waits to be pushed; is in Label Studio without an answer; was answered
Place = Literal["queued", "sent", "answered"]
#: longest reason that a reviewer gives, in characters
MOST_WHY = 500


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
    language: str | None = None,
    place: Place = "queued",
    offset: int = 0,
) -> Sequence[store.QueueItem]:
    """The texts that wait to be pushed, or that were, in serving order.

    Args:
        session: an open session.
        limit: at most so many texts.
        strategy: only texts drawn by this strategy.
        label: only texts drawn for this label, or that probably have it.
        language: only texts in this language.
        place: where they are.
        offset: texts to pass over.
    """
    q = store.QueueItem
    query = select(q).where(*_chosen(strategy, label, language, place)).order_by(q.priority.desc(), q.id)
    return session.scalars(query.limit(limit).offset(offset)).all()


def waiting(
    session: Session,
    place: Place = "queued",
    *,
    strategy: str | None = None,
    label: str | None = None,
    language: str | None = None,
) -> int:
    """Count the texts that wait to be pushed, or that were."""
    chosen = _chosen(strategy, label, language, place)
    return session.execute(select(func.count()).select_from(store.QueueItem).where(*chosen)).scalar_one()


def _chosen(strategy: str | None, label: str | None, language: str | None, place: Place) -> list[ColumnElement[bool]]:
    q, t = store.QueueItem, store.Text
    conditions = [_in(place)]
    if strategy is not None:
        conditions.append(q.strategy == strategy)
    if label is not None:
        conditions.append((q.label == label) | (q.expected.any_() == label))
    if language is not None:
        conditions.append(exists().where(t.id == q.text_id, t.language == language).correlate(q))
    return conditions


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
    lock_queue(session)
    item = _waiting(session, text_id)
    q = store.QueueItem
    others = select(q.priority).where(q.state == QueueState.QUEUED, q.id != item.id)
    _put(session, item, others.order_by(q.priority.desc(), q.id), 0 if first else None)


def move(session: Session, text_id: uuid.UUID, *, before: uuid.UUID) -> None:
    """Move a waiting text to the place before another; all others keep their order.

    Raises:
        QueueError: one of them is not waiting.
    """
    lock_queue(session)
    item, other = _waiting(session, text_id), _waiting(session, before)
    if item.id == other.id:
        return
    q = store.QueueItem
    others = select(q.priority).where(q.state == QueueState.QUEUED, q.id != item.id)
    place = session.execute(select(func.count()).select_from(others.where(_earlier(other)).subquery())).scalar_one()
    _put(session, item, others.order_by(q.priority.desc(), q.id), place)


def place_of(session: Session, text_id: uuid.UUID) -> int:
    """The place of a waiting text in the serving order; 1 is the first.

    Raises:
        QueueError: the text is not waiting.
    """
    item, q = _waiting(session, text_id), store.QueueItem
    earlier = select(func.count()).where(q.state == QueueState.QUEUED, _earlier(item))
    return 1 + session.execute(earlier).scalar_one()


def move_to(session: Session, text_id: uuid.UUID, place: int) -> None:
    """Move a waiting text to a place in the serving order; 1 is the first, and a place beyond the last is the last.

    Raises:
        QueueError: the text is not waiting.
    """
    lock_queue(session)
    item, q = _waiting(session, text_id), store.QueueItem
    others = select(q.priority).where(q.state == QueueState.QUEUED, q.id != item.id)
    _put(session, item, others.order_by(q.priority.desc(), q.id), max(0, place - 1))


def drop(session: Session, chosen: uuid.UUID | Collection[uuid.UUID], why: str | None = None) -> None:
    """Remove waiting texts from the queue, so that they are never drawn again. All are removed, or none.

    Args:
        session: an open transaction.
        chosen: the texts.
        why: the reviewer's reason.

    Raises:
        QueueError: one of the texts is not waiting, or the reason is too long.
    """
    wanted = {chosen} if isinstance(chosen, uuid.UUID) else set(chosen)
    if why is not None and len(why) > MOST_WHY:
        raise QueueError(f"the reason has {counted(len(why), 'character')}: give at most {MOST_WHY}")
    lock_queue(session)
    q = store.QueueItem
    there = set(
        session.scalars(select(q.text_id).where(q.state == QueueState.QUEUED, q.text_id == func.any(list(wanted))))
    )
    for missing in sorted(wanted - there):
        raise _not_waiting(missing)
    session.execute(
        update(q)
        .where(q.state == QueueState.QUEUED, q.text_id == func.any(list(wanted)))
        .values(state=QueueState.REFUSED, refused_why=why or None)
    )


def _earlier(item: store.QueueItem) -> ColumnElement[bool]:
    """True for a text that is served before an item."""
    q = store.QueueItem
    # The store has single precision: as a double, a priority is greater or less than itself.
    own = cast(literal(item.priority), REAL)
    return (q.priority > own) | ((q.priority == own) & (q.id < item.id))


def _waiting(session: Session, text_id: uuid.UUID) -> store.QueueItem:
    q = store.QueueItem
    item = session.scalars(
        select(q).where(q.text_id == text_id, q.state == QueueState.QUEUED),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if item is None:
        raise _not_waiting(text_id)
    return item


def _not_waiting(text_id: uuid.UUID) -> QueueError:
    return QueueError(f"text {text_id} is not waiting in the queue: see `saring queue show`")


def _put(session: Session, item: store.QueueItem, others: Select[float], place: int | None) -> None:
    """Give an item a priority between those of its neighbours: the one behind which `place` others are, and the next.

    Args:
        session: an open session.
        item: the item.
        others: the priorities of the other items, in serving order.
        place: number of items before it; None: all.
    """
    between = _between(session, others, place)
    if between is None:
        # Numbers run out where texts are often moved to one place.
        _spread(session)
        between = _between(session, others, place)
    assert between is not None
    item.priority = between
    session.flush()


def _between(session: Session, others: Select[float], place: int | None) -> float | None:
    """A priority, as the store keeps it, that no neighbour has; None: there is no number between them."""
    total = session.execute(select(func.count()).select_from(others.order_by(None).subquery())).scalar_one()
    place = total if place is None else min(place, total)
    near = session.scalars(others.offset(max(0, place - 1)).limit(2 if place else 1)).all()
    above = near[0] if place and near else 1.0
    below = (near[1] if len(near) > 1 else 0.0) if place else (near[0] if near else 0.0)
    high, low = _single(above), _single(below)
    middle = _single((high + low) / 2)
    return middle if low < middle < high else None


def _single(value: float) -> float:
    """The nearest number of single precision, as the store keeps it; NumPy would take longer to import."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _spread(session: Session) -> None:
    """Spread the priorities evenly, in the order that there is; see `serving_order.priorities`."""
    session.execute(
        text("""
            UPDATE queue_item q SET priority = 1 - (n.place - 0.5) / n.total FROM (
                SELECT id, row_number() OVER (ORDER BY priority DESC, id) AS place, count(*) OVER () AS total
                FROM queue_item WHERE state = 'queued'
            ) n WHERE n.id = q.id
        """)
    )
