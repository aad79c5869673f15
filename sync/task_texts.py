"""Which text a task shows: one of ours, or one that somebody brought to Label Studio."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ingest.ingest import SourceInfo, source_id_of
from pipeline.ingest.prepare import Options, prepare
from pipeline.ingest.readers import Format
from pipeline.ingest.write import write
from pipeline.store.loop import TaskState

Json = dict[str, Any]
_SOURCE = SourceInfo("label-studio")


@dataclass(frozen=True, slots=True)
class TaskText:
    """A task and the text that it shows."""

    #: Label Studio's id of the task
    task_id: int
    text_id: uuid.UUID
    #: the text that our record of the task names: another one, if the task's text was edited by hand
    row_text_id: uuid.UUID
    blind: bool


def texts_of_tasks(
    session: Session,
    project: store.Project,
    tasks: Sequence[Json],
    *,
    languages: Sequence[str],
    run_id: int | None,
    counts: Counter[str],
) -> dict[int, TaskText]:
    """The text of each task, by its id; those without a usable one are left out and counted.

    What a task shows decides. A text that we did not send (made by hand, or edited) is read into the store as any other
    text is, and its task is noted.
    """
    t, known = store.Task, store.Text
    ids = [task["id"] for task in tasks if isinstance(task.get("id"), int)]
    query = select(t, known.masked).join(known, known.id == t.text_id)
    rows = session.execute(query.where(t.project_id == project.id, t.label_studio_id == func.any(ids))).all()
    ours = {row.label_studio_id: (row, masked) for row, masked in rows if row.label_studio_id is not None}
    found: dict[int, TaskText] = {}
    strange: dict[int, Any] = {}
    for task in tasks:
        task_id, data = task.get("id"), task.get("data")
        if not isinstance(task_id, int):
            counts["task without an id"] += 1
            continue
        text = data.get("text") if isinstance(data, dict) else None
        row, masked = ours.get(task_id, (None, None))
        if row is not None and text == masked:
            found[task_id] = TaskText(task_id, row.text_id, row.text_id, row.blind)
        else:
            strange[task_id] = text
    found |= _read_in(session, project, strange, ours, languages, run_id, counts)
    return found


def _read_in(
    session: Session,
    project: store.Project,
    strange: dict[int, Any],
    ours: dict[int, tuple[store.Task, str]],
    languages: Sequence[str],
    run_id: int | None,
    counts: Counter[str],
) -> dict[int, TaskText]:
    if not strange:
        return {}
    path = f"{project.url}/projects/{project.label_studio_id}"
    options = Options(Format.JSONL, languages=tuple(languages))
    payloads: list[bytes | Json] = [
        {"id": f"{project.id}:{task_id}:{_mark(text)}", "text": text} for task_id, text in strange.items()
    ]
    ready = prepare(list(strange), payloads, path=path, name=path, options=options)
    for reject in ready.rejects:
        counts[f"task with {reject.reason}"] += 1
    if not ready.rows:
        return {}
    source = source_id_of(session, _SOURCE)
    write(session, ready.rows, source_id=source, run_id=run_id or 0, path=path, splits=[None] * len(ready.rows))
    found: dict[int, TaskText] = {}
    for row in ready.rows:
        task_id = row.line
        if task_id in ours:
            counts["text edited by hand"] += 1
            mine = ours[task_id][0]
            found[task_id] = TaskText(task_id, row.id, mine.text_id, mine.blind)
            continue
        counts["task made by hand"] += 1
        task = session.get(store.Task, (project.id, row.id))
        if task is None:
            session.add(
                store.Task(
                    project_id=project.id,
                    text_id=row.id,
                    label_studio_id=task_id,
                    strategy="by hand",
                    reason="somebody brought it to Label Studio",
                    inclusion_probability=1.0,
                    state=TaskState.OPEN,
                )
            )
            session.flush()
        found[task_id] = TaskText(task_id, row.id, row.id, task.blind if task is not None else False)
    return found


def _mark(text: Any) -> int:
    """Tells one text of a task from a later one."""
    return len(text) if isinstance(text, str) else 0
