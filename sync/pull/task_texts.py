"""The text of a task: one of ours, or one that somebody put into Label Studio."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.store.public_ids import PublicIds
from pipeline.store.tables.human_loop import TaskState
from pipeline.texts.ingest import SourceInfo, source_id_of
from pipeline.texts.prepare import Options, prepare
from pipeline.texts.readers import Format
from pipeline.texts.write import write
from sync.pull.annotations import Malformed, moment

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
    texts: dict[int, TaskText] = {}
    strange: dict[int, Any] = {}
    for task in tasks:
        task_id, data = task.get("id"), task.get("data")
        if not isinstance(task_id, int):
            counts["task without an id"] += 1
            continue
        data = data if isinstance(data, dict) else {}
        text = data.get("text")
        row, masked = ours.get(task_id, (None, None))
        if row is not None and text != masked and _given_again(task, data, row):
            _let_go(session, row)
            del ours[task_id]
            row = None
        if row is None:
            row = _copied(session, project, task_id, data)
        if row is not None and (text == masked or task_id not in ours):
            texts[task_id] = TaskText(task_id, row.text_id, row.text_id, row.blind)
        else:
            strange[task_id] = text
    texts |= _read_in(session, project, strange, ours, languages, run_id, counts)
    return texts


def _given_again(task: Json, data: Json, row: store.Task) -> bool:
    """True where the id of our task, which must be gone, is another task's now; if not, somebody edited the text."""
    if row.batch and data.get("batch") == row.batch:
        return False
    try:
        return moment(task.get("created_at")) > (row.pushed_at or row.created_at)
    except Malformed:
        return False


def _let_go(session: Session, row: store.Task) -> None:
    row.label_studio_id, row.state = None, TaskState.GONE
    # the id may be given to another row now
    session.flush()


def _copied(session: Session, project: store.Project, task_id: int, data: Json) -> store.Task | None:
    """Our record of the text, if the task was made of the data of one that we sent: imported again, or sent twice."""
    try:
        given = uuid.UUID(str(data.get("text_id")))
    except ValueError:
        return None
    ids = PublicIds.of_store(session).candidates(given)
    row = next((row for key in ids if (row := session.get(store.Task, (project.id, key))) is not None), None)
    if row is None or session.get_one(store.Text, row.text_id).masked != data.get("text"):
        return None
    _take_place(row, task_id, sent=data.get("batch") == row.batch)
    return row


def _take_place(row: store.Task, task_id: int, *, sent: bool) -> None:
    """Have a task stand for its text, where the one that did is gone, or is on its way and has just been met."""
    if row.state is TaskState.GONE or (row.state is TaskState.PUSHING and sent):
        row.label_studio_id, row.state = task_id, TaskState.OPEN


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
    written = write(
        session, ready.rows, source_id=source, run_id=run_id or 0, path=path, splits=[None] * len(ready.rows)
    )
    for reject in written.rejected:
        counts[f"task with {reject.reason}"] += 1
    texts: dict[int, TaskText] = {}
    for row in written.seen:
        task_id = row.line
        if task_id in ours:
            counts["text edited by hand"] += 1
            own = ours[task_id][0]
            texts[task_id] = TaskText(task_id, row.id, own.text_id, own.blind)
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
                    inclusion_probability=None,
                    state=TaskState.OPEN,
                )
            )
            session.flush()
        else:
            _take_place(task, task_id, sent=False)
        texts[task_id] = TaskText(task_id, row.id, row.id, task.blind if task is not None else False)
    return texts


def _mark(text: Any) -> str:
    """Tells one text of a task from a later one."""
    encoded = text.encode("utf-8", "replace") if isinstance(text, str) else b""
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()
