"""Pull annotations into the ledger: what changed in Label Studio since the last look, once.

A webhook only says that it is time to look. What is stored, and how far, is decided by the state of the tasks and by
Label Studio's own clock, so it does not matter which events came, how often, or in which order.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import LabelStudioError, LabelStudioMissing
from pipeline.preannotation.label_studio_format import Reading, reading_of
from pipeline.progress import Progress, silent
from pipeline.runs.record import ActiveRun, stage_run
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio, identity, parse_time
from sync.known import open_projects
from sync.pull.apply import Applied, apply_tasks

if TYPE_CHECKING:
    from label_studio_sdk.types import AllRolesProjectList, LseProjectResponse

log = logging.getLogger(__name__)

#: a change may become visible this long after the moment that it carries
_OVERLAP = timedelta(seconds=10)
#: once the server's clock is so far ahead, nothing from before can still become visible
_SETTLED = timedelta(seconds=60)
#: what only the training button sends, which is another job's
_NOT_OURS = "START_TRAINING"


@dataclass(slots=True)
class PullReport:
    """Counts of one pull, of all projects together."""

    projects: int = 0
    tasks: int = 0
    #: what was met and done, by name
    counts: Counter[str] = field(default_factory=Counter)
    #: labels that the taxonomy does not know
    unknown_labels: Counter[str] = field(default_factory=Counter)
    #: projects that are no longer there
    gone: list[str] = field(default_factory=list)
    #: projects that could not be pulled, and why
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, applied: Applied) -> None:
        """Count what a batch came to."""
        self.counts += applied.counts
        self.unknown_labels += applied.unknown


def pull(
    engine: Engine,
    client: LabelStudio,
    *,
    taxonomy: Taxonomy,
    projects: Sequence[int] | None = None,
    now: datetime,
    languages: Sequence[str] = ("ms", "id", "en"),
    progress: Progress = silent,
) -> PullReport:
    """Copy changed annotations into the ledger. A project that fails is named, and the others go on.

    Args:
        engine: the store.
        client: the server.
        taxonomy: the labels in force.
        projects: our own ids of the projects; None: all open ones of this server.
        now: our clock, for the record only.
        languages: those in scope, for texts that people brought to Label Studio.
        progress: told of every batch.

    Raises:
        RunConflict: another pull is under way.
    """
    report = PullReport()
    for project in open_projects(engine, client, projects):
        report.projects += 1
        newest = _newest_event(engine)
        try:
            page = page_of(client, project)
            if page is None:
                note_gone(engine, project)
                report.gone.append(project.title)
                continue
            reading = reading_of(page, taxonomy)
            _pull_one(engine, client, project, taxonomy, reading, languages, report, progress)
        except LabelStudioError as error:
            log.warning("project %s (%s) could not be pulled: %s", project.label_studio_id, project.title, error)
            report.failed[project.title] = str(error)
            continue
        _mark_handled(engine, project, newest, now)
    if report.unknown_labels:
        log.warning("labels that the taxonomy does not know were left out: %s", dict(report.unknown_labels))
    return report


def _pull_one(
    engine: Engine,
    client: LabelStudio,
    project: store.Project,
    taxonomy: Taxonomy,
    reading: Reading,
    languages: Sequence[str],
    report: PullReport,
    progress: Progress,
) -> None:
    with open_session(engine) as session:
        cursor = session.get(store.SyncCursor, project.id)
    since = _since(cursor)
    pages = client.changed_tasks(project.label_studio_id, since)

    def fetch() -> tuple[datetime | None, list[dict[str, Any]] | None]:
        # the clock before the list is asked for: what becomes visible after that is not in it
        return client.server_time, next(pages, None)

    asked, page = fetch()
    if page is None:
        _note_looked(engine, project, asked)
        return
    # now, because the client belongs to the thread that reads ahead as soon as that has begun
    maintainer = client.own_user
    own = PullReport()
    with (
        stage_run(engine, "pull", slice=str(project.id), progress=progress) as run,
        # the server gathers the next page while this one is stored
        ThreadPoolExecutor(1) as ahead,
    ):
        while page is not None:
            following = ahead.submit(fetch)
            _store(engine, project, page, taxonomy, reading, languages, maintainer, run, report, own)
            at, page = following.result()
            asked = asked if page is None else at
        # the project may have been removed meanwhile, which looks like a list that ends
        if not is_there(client, project):
            raise LabelStudioMissing(f"project {project.label_studio_id} was removed while it was read")
        _note_looked(engine, project, asked)


def _store(
    engine: Engine,
    project: store.Project,
    page: Sequence[dict[str, Any]],
    taxonomy: Taxonomy,
    reading: Reading,
    languages: Sequence[str],
    maintainer: str,
    run: ActiveRun,
    report: PullReport,
    own: PullReport,
) -> None:
    """One page: the ledger, the mirror and the cursor move together."""
    with open_session(engine) as session, session.begin():
        tasks = _worth_reading(session, project, page)
        applied = apply_tasks(
            session,
            project,
            tasks,
            taxonomy=taxonomy,
            languages=languages,
            maintainer=maintainer,
            reading=reading,
            run_id=run.id,
        )
        _advance(session, project, max(parse_time(counted["updated_at"]) for counted in page))
        run.counts = dict(own.counts + applied.counts)
        run.advance(own.tasks + len(tasks), None, "pulling")
        run.save(session)
    for counted in (own, report):
        counted.tasks += len(tasks)
        counted.add(applied)


def _worth_reading(session: Session, project: store.Project, page: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tasks with annotations, now or when they were last seen; and those that are not known at all."""
    a, t = store.Annotation, store.Task
    ids = [task["id"] for task in page]
    had = set(session.scalars(select(a.task_id).where(a.project_id == project.id, a.task_id == func.any(ids))))
    known = set(
        session.scalars(select(t.label_studio_id).where(t.project_id == project.id, t.label_studio_id == func.any(ids)))
    )
    return [task for task in page if task.get("annotations") or task["id"] in had or task["id"] not in known]


def _since(cursor: store.SyncCursor | None) -> datetime | None:
    if cursor is None:
        return None
    if cursor.looked_at is not None and cursor.looked_at > cursor.watermark + _SETTLED:
        return cursor.watermark + timedelta(microseconds=1)
    return cursor.watermark - _OVERLAP


def _advance(session: Session, project: store.Project, watermark: datetime) -> None:
    cursor = session.get(store.SyncCursor, project.id)
    if cursor is None:
        session.add(store.SyncCursor(project_id=project.id, watermark=watermark))
    elif watermark > cursor.watermark:
        cursor.watermark = watermark


def _note_looked(engine: Engine, project: store.Project, at: datetime | None) -> None:
    c = store.SyncCursor
    with open_session(engine) as session, session.begin():
        session.execute(update(c).where(c.project_id == project.id).values(looked_at=at, updated_at=func.now()))


def page_of(client: LabelStudio, project: store.Project) -> str | None:
    """The label config that a project has now; None: the project is not there, or another one has its id."""
    there: LseProjectResponse | AllRolesProjectList | None
    ours = (project.label_studio_id, project.label_studio_created_at)
    try:
        there = client.project(project.label_studio_id)
    except LabelStudioMissing:
        # whatever stands before the server says 404 as well: only a list without the project is proof
        there = next((listed for listed in client.projects() if identity(listed) == ours), None)
    return there.label_config or "" if there is not None and identity(there) == ours else None


def is_there(client: LabelStudio, project: store.Project) -> bool:
    """True where the project is still the same one: ids are given again."""
    return page_of(client, project) is not None


def note_gone(engine: Engine, project: store.Project) -> None:
    """Note that a project was removed. What people said in it was said, and stays."""
    log.warning("project %s (%s) is no longer in Label Studio", project.label_studio_id, project.title)
    with open_session(engine) as session, session.begin():
        session.get_one(store.Project, project.id).state = ProjectState.GONE


def _newest_event(engine: Engine) -> int:
    with open_session(engine) as session:
        return session.execute(select(func.coalesce(func.max(store.Event.id), 0))).scalar_one()


def _mark_handled(engine: Engine, project: store.Project, newest: int, now: datetime) -> None:
    e = store.Event
    with open_session(engine) as session, session.begin():
        session.execute(
            update(e)
            .where(
                e.id <= newest,
                e.handled_at.is_(None),
                e.action != _NOT_OURS,
                (e.label_studio_project == project.label_studio_id) | e.label_studio_project.is_(None),
            )
            .values(handled_at=now)
        )
