"""A full comparison of Label Studio with the ledger: what the pulls missed is found by id and moment, and repaired."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.errors import LabelStudioError, LabelStudioMissing
from pipeline.preannotation.label_studio_format import Reading, reading_of
from pipeline.progress import Progress, silent
from pipeline.runs.record import ActiveRun, stage_run
from pipeline.store.public_ids import PublicIds
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import TaskState
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio, parse_time
from sync.known import open_projects
from sync.pull.apply import apply_tasks
from sync.pull.authorship import GONE
from sync.pull.pull import is_there, note_gone, page_of

log = logging.getLogger(__name__)

_BATCH = 1_000
#: what an annotation is compared by
_Stamp = tuple[int, datetime]


@dataclass(slots=True)
class ReconcileReport:
    """Counts of one comparison, over all projects."""

    projects: int = 0
    tasks: int = 0
    annotations: int = 0
    #: tasks whose annotations differed from what was stored
    repaired: int = 0
    #: tasks that are no longer in Label Studio; what was said of them stays, unless asked otherwise
    tasks_gone: int = 0
    #: second copies of a task that were removed because nobody had annotated them, and those left because somebody had
    doubles_removed: int = 0
    doubles_left: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    gone: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Seen:
    """The part of the server's data that a comparison needs."""

    #: the last change that was met
    newest: datetime | None = None
    stamps: dict[int, set[_Stamp]] = field(default_factory=dict)
    by_text: dict[str, list[int]] = field(default_factory=dict)


def reconcile(
    engine: Engine,
    client: LabelStudio,
    *,
    taxonomy: Taxonomy,
    projects: Sequence[int] | None = None,
    now: datetime,
    languages: Sequence[str] = ("ms", "id", "en"),
    withdraw_deleted: bool = False,
    progress: Progress = silent,
) -> ReconcileReport:
    """Compare every annotation with the ledger, and repair. Doing it again finds nothing.

    Args:
        engine: the store.
        client: the server.
        taxonomy: the labels in force.
        projects: our own ids of the projects; None: all open ones of this server.
        now: our clock, for the record only.
        languages: those in scope, for texts that people brought to Label Studio.
        withdraw_deleted: take back what was said of tasks that are gone. Removing finished tasks is how people tidy up,
            so that normally stays.
        progress: told of every batch.

    Raises:
        RunConflict: a pull or another comparison of the project is under way.
    """
    report = ReconcileReport()
    for project in open_projects(engine, client, projects):
        report.projects += 1
        try:
            page = page_of(client, project)
            if page is None:
                note_gone(engine, project)
                report.gone.append(project.title)
                continue
            reading = reading_of(page, taxonomy)
            # the slice of pull, so that the two take turns
            with stage_run(engine, "pull", slice=str(project.id), params={"whole": True}, progress=progress) as run:
                _reconcile_one(
                    engine, client, project, taxonomy, reading, languages, withdraw_deleted, now, run, report
                )
        except LabelStudioError as error:
            log.warning("project %s (%s) could not be compared: %s", project.label_studio_id, project.title, error)
            report.failed[project.title] = str(error)
    return report


def _reconcile_one(
    engine: Engine,
    client: LabelStudio,
    project: store.Project,
    taxonomy: Taxonomy,
    reading: Reading,
    languages: Sequence[str],
    withdraw_deleted: bool,
    now: datetime,
    run: ActiveRun,
    report: ReconcileReport,
) -> None:
    seen = _Seen()
    for page in client.task_stamps(project.label_studio_id):
        for task in page:
            annotations = task.get("annotations") or []
            seen.stamps[task["id"]] = {(entry["id"], parse_time(entry["updated_at"])) for entry in annotations}
            seen.newest = parse_time(task["updated_at"])
            text_id = (task.get("data") or {}).get("text_id")
            if isinstance(text_id, str):
                seen.by_text.setdefault(text_id, []).append(task["id"])
        run.advance(len(seen.stamps), None, "comparing")
    if not is_there(client, project):
        raise LabelStudioMissing(f"project {project.label_studio_id} was removed while it was read")
    report.tasks += len(seen.stamps)
    report.annotations += sum(map(len, seen.stamps.values()))
    _remove_doubles(engine, client, project, seen, report)
    mirrored, known = _mirrored(engine, project)
    differing = [entry for entry, stamps in seen.stamps.items() if stamps != mirrored.get(entry, set())]
    differing += [entry for entry in seen.stamps if entry not in known and entry not in differing]
    missing = sorted((known | set(mirrored)) - set(seen.stamps))
    repaired = 0
    for start in range(0, len(differing), _BATCH):
        some = differing[start : start + _BATCH]
        with open_session(engine) as session, session.begin():
            tasks = client.whole_tasks(project.label_studio_id, some)
            applied = apply_tasks(
                session,
                project,
                tasks,
                taxonomy=taxonomy,
                languages=languages,
                maintainer=client.own_user,
                reading=reading,
                run_id=run.id,
            )
            report.counts += applied.counts
            repaired += len(applied.changed)
    report.repaired += repaired
    with open_session(engine) as session, session.begin():
        t, c = store.Task, store.SyncCursor
        lost = session.scalars(
            select(t).where(
                t.project_id == project.id, t.label_studio_id == func.any(missing), t.state != TaskState.GONE
            )
        ).all()
        for row in lost:
            row.state = TaskState.GONE
        report.tasks_gone += len(lost)
        if withdraw_deleted and missing:
            applied = apply_tasks(
                session,
                project,
                [],
                taxonomy=taxonomy,
                languages=languages,
                maintainer=client.own_user,
                run_id=run.id,
                gone=missing,
            )
            report.counts += applied.counts
        cursor = session.get(c, project.id)
        if cursor is not None:
            cursor.reconciled_at = now
            # everything up to here was compared; a clock that was put back would keep pulls from seeing what is new
            if (newest := seen.newest or client.server_time) is not None and newest < cursor.watermark:
                cursor.watermark, cursor.looked_at = newest, None
    run.counts = {"tasks": len(seen.stamps), "repaired": repaired, "tasks_gone": len(lost)}


def _mirrored(engine: Engine, project: store.Project) -> tuple[dict[int, set[_Stamp]], set[int]]:
    """The stored copies of the annotations of each task, and the tasks that should be there."""
    a, t = store.Annotation, store.Task
    stamps: dict[int, set[_Stamp]] = {}
    with open_session(engine) as session:
        rows: Any = session.execute(
            select(a.task_id, a.label_studio_id, a.updated_at).where(a.project_id == project.id, a.state.not_in(GONE))
        )
        for task_id, annotation, updated_at in rows:
            stamps.setdefault(task_id, set()).add((annotation, updated_at.astimezone(UTC)))
        known = session.scalars(
            select(t.label_studio_id).where(t.project_id == project.id, t.label_studio_id.is_not(None))
        )
        return stamps, {task for task in known if task is not None}


def _remove_doubles(
    engine: Engine, client: LabelStudio, project: store.Project, seen: _Seen, report: ReconcileReport
) -> None:
    """Of several tasks of one text, keep ours, and those that somebody annotated."""
    t = store.Task
    with open_session(engine) as session:
        rows: Any = session.execute(select(t.text_id, t.label_studio_id).where(t.project_id == project.id))
        ours: dict[uuid.UUID, int | None] = dict(rows.all())
        ids = PublicIds.of_store(session)
    there = project.label_studio_id
    by_text: dict[uuid.UUID, list[int]] = {}
    for given, tasks in seen.by_text.items():
        if (text_id := ids.meant(given, ours)) is not None:
            by_text.setdefault(text_id, []).extend(tasks)
    for text_id, tasks in by_text.items():
        if len(tasks) < 2:
            continue
        kept = ours[text_id]
        kept = kept if kept in tasks else min(tasks)
        for task in tasks:
            if task == kept:
                continue
            # asked again: somebody may have annotated it since the list was read
            if seen.stamps[task] or any(copy["annotations"] for copy in client.whole_tasks(there, [task])):
                report.doubles_left += 1
                continue
            client.tasks.delete(str(task))
            del seen.stamps[task]
            report.doubles_removed += 1
