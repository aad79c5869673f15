"""Removing the tasks of erased texts from Label Studio."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, select

from pipeline import store
from pipeline.store.public_ids import PublicIds
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState, TaskState
from pipeline.texts.normalise import repair, text_id
from sync.api.client import LabelStudio
from sync.known import open_projects


def count_tasks(engine: Engine, texts: Collection[uuid.UUID]) -> int:
    """Number of tasks of these texts that Label Studio may hold, in projects that are not known to be gone."""
    t, p = store.Task, store.Project
    query = select(func.count()).select_from(t).join(p, p.id == t.project_id)
    with open_session(engine) as session:
        return session.scalars(query.where(*_held(texts), p.state == ProjectState.OPEN)).one()


def remove_tasks(engine: Engine, client: LabelStudio, texts: Collection[uuid.UUID]) -> int:
    """Remove the tasks of texts from the projects of a server, with their annotations; the number of those removed.

    What volunteers said is in the ledger and stays. A task is removed only if its data are of the text: Label Studio
    gives the number of a task that is gone to another one.

    Args:
        engine: the store.
        client: the server.
        texts: ids of the texts.

    Raises:
        LabelStudioUnavailable: the server does not answer; tasks that are removed by then stay so.
    """
    removed = 0
    t = store.Task
    for project in open_projects(engine, client):
        with open_session(engine) as session, session.begin():
            rows = session.scalars(select(t).where(t.project_id == project.id, *_held(texts))).all()
            of = {row.label_studio_id: row.text_id for row in rows if row.label_studio_id is not None}
            if not of:
                continue
            ids = PublicIds.of_store(session)
            for task in client.shown_tasks(project.label_studio_id, sorted(of)):
                if _is_of(task.get("data"), of[task["id"]], ids):
                    client.remove_task(task["id"])
                    removed += 1
            for row in rows:
                row.label_studio_id, row.state = None, TaskState.GONE
    return removed


def _held(texts: Collection[uuid.UUID]) -> tuple[ColumnElement[bool], ...]:
    t = store.Task
    return t.text_id.in_(texts), t.label_studio_id.is_not(None)


def _is_of(data: Any, text: uuid.UUID, ids: PublicIds) -> bool:
    """True where a task's data are those of the text, whether we sent them or somebody made the task by hand."""
    if not isinstance(data, dict):
        return False
    words = data.get("text")
    by_hand = isinstance(words, str) and text_id(repair(words)) == text
    return by_hand or ids.meant(data.get("text_id"), {text}) == text
