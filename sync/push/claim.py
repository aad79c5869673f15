"""The queued texts that a push sends to a project: noted as tasks before the first call is made."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.queue.serving_order import allowed
from pipeline.queue.waiting import lock_queue, queued
from pipeline.store.tables.human_loop import QueueState, TaskState
from sync.project.days import start_of_day

#: share of the tasks that two volunteers are asked for, so that their agreement can be measured on a random sample; and
#: how many of a push, as each takes a call (`sync.quality.review`, once the first has answered)
_PAIRED_SHARE, _MOST_PAIRED = 0.1, 50
#: what a task takes over from the queue
_OF_THE_DRAW = (
    "text_id",
    "strategy",
    "reason",
    "inclusion_probability",
    "priority",
    "blind",
    "harsh",
    "gold",
)


def claim(
    session: Session,
    project: store.Project,
    limit: int | None,
    at: datetime,
    only: Collection[uuid.UUID] | None = None,
) -> tuple[str, int]:
    """Store tasks for the queued texts that may go to a project now, in the caller's transaction.

    Args:
        session: an open session.
        project: where they go.
        limit: texts, at most.
        at: now; harsh tasks are counted by the day.
        only: texts that may go; None: all.

    Returns:
        The mark of the batch, and how many texts were kept back.
    """
    lock_queue(session)
    t = store.Task
    there = set(session.scalars(select(t.text_id).where(t.project_id == project.id)))
    items = [item for item in queued(session) if item.text_id not in there and (only is None or item.text_id in only)]
    room = _harsh_today(session, project, at)
    going = allowed(items, harsh_cap=project.harsh_cap, harsh_open_today=room, opt_out=project.opt_out)
    held_back = len(items) - len(going)
    batch = uuid.uuid4().hex[:16]
    # nobody else comes to a personal project
    pairs_left = _MOST_PAIRED if project.volunteer is None else 0
    rows = []
    for item in going[:limit]:
        paired = pairs_left > 0 and _coin(item.text_id) < _PAIRED_SHARE
        pairs_left -= paired
        drawn = {name: getattr(item, name) for name in _OF_THE_DRAW}
        rows.append(drawn | {"queue_item_id": item.id, "paired": paired})
    if rows:
        same = {"project_id": project.id, "overlap": 1, "state": TaskState.PUSHING, "batch": batch}
        session.execute(insert(t), [row | same for row in rows])
        q = store.QueueItem
        pushed = update(q).where(q.id == func.any([row["queue_item_id"] for row in rows]))
        session.execute(pushed.values(state=QueueState.PUSHED))
    return batch, held_back


def _coin(text_id: uuid.UUID) -> float:
    """A number from 0 to 1 that depends on nothing but the text."""
    digest = hashlib.blake2b(text_id.bytes, key=b"overlap", digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _harsh_today(session: Session, project: store.Project, at: datetime) -> int:
    """Harsh tasks that may still be met in the project today, or were."""
    t, a = store.Task, store.Annotation
    touched = select(a.text_id).where(a.project_id == project.id, a.updated_at >= start_of_day(at))
    still = t.state.in_((TaskState.PUSHING, TaskState.OPEN)) | t.text_id.in_(touched)
    return session.execute(
        select(func.count()).select_from(t).where(t.project_id == project.id, t.harsh, still)
    ).scalar_one()
