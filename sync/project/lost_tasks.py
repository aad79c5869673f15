"""Open tasks of projects that were removed from Label Studio: count them, or queue their texts again."""

from __future__ import annotations

import uuid

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.queue.waiting import lock_queue
from pipeline.store.tables.human_loop import ProjectState, QueueState, TaskState

#: a task that wanted an answer when its project was removed
_UNANSWERED = (TaskState.PUSHING, TaskState.OPEN)


def count_lost(session: Session, project: store.Project) -> int:
    """Texts that nobody answered before their project was removed, and that no other project asks for.

    Args:
        session: an open session.
        project: the project that is there now; removed ones for the same volunteer, or for everyone, are looked at.
    """
    lost = _lost(project).subquery()
    return session.execute(select(func.count(lost.c.text_id.distinct()))).scalar_one()


def queue_lost(session: Session, project: store.Project) -> int:
    """Queue those texts again, with the reason and the inclusion probability that they had; the number of texts.

    A text that is in the queue already stays there as it is.
    """
    lock_queue(session)
    q, t = store.QueueItem, store.Task
    rows = session.execute(_lost(project)).all()
    newest = {row.text_id: row.queue_item_id for row in rows}
    waiting = select(q.text_id).where(q.state == QueueState.QUEUED)
    session.execute(
        update(q)
        .where(q.id == func.any(sorted(newest.values())), q.text_id.not_in(waiting))
        .values(state=QueueState.QUEUED)
    )
    gone = select(store.Project.id).where(store.Project.state == ProjectState.GONE)
    session.execute(
        update(t)
        .where(t.project_id.in_(gone), t.text_id == func.any(sorted(newest)), t.state.in_(_UNANSWERED))
        .values(state=TaskState.GONE)
    )
    return len(newest)


def _lost(project: store.Project) -> Select[uuid.UUID, int | None]:
    t, p = store.Task, store.Project
    asked = (
        select(t.text_id).join(p, p.id == t.project_id).where(p.state == ProjectState.OPEN, t.state.in_(_UNANSWERED))
    )
    return (
        select(t.text_id, t.queue_item_id)
        .join(p, p.id == t.project_id)
        .where(
            p.state == ProjectState.GONE,
            p.volunteer.is_not_distinct_from(project.volunteer),
            t.state.in_(_UNANSWERED),
            t.queue_item_id.is_not(None),
            t.text_id.not_in(asked),
        )
        .order_by(t.queue_item_id)
    )
