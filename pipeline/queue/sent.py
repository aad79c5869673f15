"""Texts in Label Studio, with their state and how long they are there."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.store.tables.human_loop import AnnotationState, ProjectState, TaskState


@dataclass(frozen=True, slots=True)
class SentProject:
    """The tasks of one project."""

    project_id: int
    title: str
    url: str
    label_studio_id: int
    #: Label Studio user id of the volunteer that it is for; None: everyone
    volunteer: str | None
    #: number of tasks by state
    tasks: Mapping[TaskState, int]
    #: harsh tasks that are open, and the most that a day may have
    harsh_open: int
    harsh_cap: int
    #: when the oldest open task was sent
    oldest: datetime | None
    #: when annotations were last copied from it
    pulled_at: datetime | None


def projects(session: Session) -> list[SentProject]:
    """The open projects with the number of their tasks, oldest project first."""
    p, t, c = store.Project, store.Task, store.SyncCursor
    rows = session.execute(
        select(p, c.looked_at).outerjoin(c, c.project_id == p.id).where(p.state == ProjectState.OPEN).order_by(p.id)
    ).all()
    counted = session.execute(
        select(
            t.project_id,
            t.state,
            func.count(),
            func.count().filter(t.harsh),
            func.min(func.coalesce(t.pushed_at, t.created_at)),
        )
        .where(t.project_id.in_([project.id for project, _ in rows]))
        .group_by(t.project_id, t.state)
    ).all()
    by_project: dict[int, dict[TaskState, tuple[int, int, datetime | None]]] = {}
    for project_id, state, tasks, harsh, oldest in counted:
        by_project.setdefault(project_id, {})[state] = (tasks, harsh, oldest)
    listed = []
    for project, looked_at in rows:
        states = by_project.get(project.id, {})
        waiting = [states[state] for state in (TaskState.OPEN, TaskState.PUSHING) if state in states]
        listed.append(
            SentProject(
                project_id=project.id,
                title=project.title,
                url=project.url,
                label_studio_id=project.label_studio_id,
                volunteer=project.volunteer,
                tasks={state: states[state][0] for state in TaskState if state in states},
                harsh_open=sum(harsh for _, harsh, _ in waiting),
                harsh_cap=project.harsh_cap,
                oldest=min((oldest for _, _, oldest in waiting if oldest is not None), default=None),
                pulled_at=looked_at,
            )
        )
    return listed


@dataclass(frozen=True, slots=True)
class SentText:
    """A task."""

    text_id: uuid.UUID
    project_id: int
    #: Label Studio's id of the task; None: it is not known to have arrived
    label_studio_id: int | None
    #: masked
    text: str
    harsh: bool
    strategy: str
    reason: str
    #: None: unknown
    inclusion_probability: float | None
    state: TaskState
    sent_at: datetime
    #: raters that it needs
    overlap: int
    #: its annotations by state
    annotations: Mapping[AnnotationState, int]


def sent_texts(
    session: Session,
    *,
    project: int | None = None,
    states: Sequence[TaskState] = (TaskState.PUSHING, TaskState.OPEN),
    limit: int = 50,
    offset: int = 0,
) -> list[SentText]:
    """Tasks of open projects, the oldest first.

    Args:
        session: an open session.
        project: our own id of the project; None: all.
        states: only tasks in these states.
        limit: tasks, at most.
        offset: tasks to pass over.
    """
    t, p, a, x = store.Task, store.Project, store.Annotation, store.Text
    sent_at = func.coalesce(t.pushed_at, t.created_at)
    query = (
        select(t, sent_at, x.masked)
        .join(p, p.id == t.project_id)
        .join(x, x.id == t.text_id)
        .where(p.state == ProjectState.OPEN, t.state.in_(states))
        .order_by(sent_at, t.project_id, t.text_id)
        .limit(limit)
        .offset(offset)
    )
    if project is not None:
        query = query.where(t.project_id == project)
    rows = session.execute(query).all()
    annotations: dict[tuple[int, uuid.UUID], dict[AnnotationState, int]] = {}
    for project_id, text_id, state, number in session.execute(
        select(a.project_id, a.text_id, a.state, func.count())
        .where(
            a.text_id == func.any([task.text_id for task, _, _ in rows]),
            a.state.not_in((AnnotationState.DELETED, AnnotationState.HELD)),
        )
        .group_by(a.project_id, a.text_id, a.state)
    ):
        annotations.setdefault((project_id, text_id), {})[state] = number
    return [
        SentText(
            task.text_id,
            task.project_id,
            task.label_studio_id,
            masked,
            task.harsh,
            task.strategy,
            task.reason,
            task.inclusion_probability,
            task.state,
            at,
            task.overlap,
            annotations.get((task.project_id, task.text_id), {}),
        )
        for task, at, masked in rows
    ]
