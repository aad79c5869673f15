"""A store and its project in the real Label Studio, with tasks to annotate, and what came home of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, func, select, update

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState
from pipeline.taxonomy import Taxonomy
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.project.projects import SetupReport
from sync.pull.pull import PullReport, pull
from sync.pull.reconcile import ReconcileReport, reconcile
from tests.support.label_studio import TAXONOMY, Line, lines, make_project, push_all, queue, tasks_of

Json = dict[str, Any]


class SmallPages(LabelStudio):
    """A client whose lists come in pages of two tasks."""

    def changed_tasks(
        self, project: int, since: datetime | None, *, page_size: int = 2
    ) -> Iterator[list[dict[str, Any]]]:
        yield from super().changed_tasks(project, since, page_size=page_size)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ledger has last of one annotation."""

    #: what it is called there
    ref: str
    rater: str
    text_id: uuid.UUID
    asserted: tuple[str, ...]
    denied: tuple[str, ...]
    withdrawn: bool
    explanation: str | None


@dataclass(frozen=True, slots=True)
class Given:
    """A task that was pushed."""

    text_id: uuid.UUID
    task: int


@dataclass(slots=True)
class World:
    """One store, and one project."""

    engine: Engine
    client: LabelStudio
    api: httpx.Client
    project: SetupReport
    folder: Path
    pool: list[Given] = field(default_factory=list)

    def take(self, count: int = 1) -> list[Given]:
        """Tasks that nobody touched."""
        if len(self.pool) < count:
            self.pool += self.push(lines(count))
        taken, self.pool = self.pool[:count], self.pool[count:]
        return taken

    def push(self, given: Sequence[Line]) -> list[Given]:
        """Queue texts and push them; the tasks, in order."""
        ids = queue(self.engine, given, self.folder)
        push_all(self.engine, self.client, self.project.project_id)
        known = tasks_of(self.engine, self.project.project_id)
        return [Given(one, known[one].label_studio_id or 0) for one in ids]

    def pull(self, client: LabelStudio | None = None, taxonomy: Taxonomy = TAXONOMY) -> PullReport:
        """Bring home, and see to it that nothing failed."""
        report = self.try_pull(client, taxonomy)
        assert not report.failed
        return report

    def try_pull(self, client: LabelStudio | None = None, taxonomy: Taxonomy = TAXONOMY) -> PullReport:
        """Bring home, whatever happens."""
        return pull(self.engine, client or self.client, taxonomy=taxonomy, now=datetime.now(UTC))

    def reconcile(self, client: LabelStudio | None = None, **how: Any) -> ReconcileReport:
        """Compare everything."""
        report = reconcile(self.engine, client or self.client, taxonomy=TAXONOMY, now=datetime.now(UTC), **how)
        assert not report.failed
        return report

    def change(self, annotation: int, **fields: Any) -> Json:
        """PATCH an annotation as the owner."""
        changed = self.api.patch(f"/api/annotations/{annotation}/", json=fields)
        found: Json = changed.raise_for_status().json()
        return found

    def remove(self, *tasks: int) -> None:
        """Remove tasks from Label Studio."""
        for task in tasks:
            self.api.delete(f"/api/tasks/{task}/").raise_for_status()

    def by_hand(self, *rows: Json) -> list[int]:
        """Tasks that somebody imports into Label Studio."""
        path = f"/api/projects/{self.project.label_studio_id}/import"
        made = self.api.post(path, params={"return_task_ids": "true"}, json=list(rows))
        ids: list[int] = made.raise_for_status().json()["task_ids"]
        return ids

    def said(self, *texts: uuid.UUID) -> list[Verdict]:
        """The last revision of everything that people said of these texts, or of all."""
        return [one for revisions in self.revisions(*texts) for one in revisions[-1:]]

    def stands(self, *texts: uuid.UUID) -> list[Verdict]:
        """The same, without what was taken back."""
        return [one for one in self.said(*texts) if not one.withdrawn]

    def revisions(self, *texts: uuid.UUID) -> list[list[Verdict]]:
        """Everything that people said, a list for each annotation and rater."""
        j, r = store.Judgement, store.Rater
        query = select(j, r.version).join(r, r.id == j.rater_id).where(r.kind == RaterKind.HUMAN)
        if texts:
            query = query.where(j.text_id.in_(texts))
        found: dict[Any, list[Verdict]] = {}
        with open_session(self.engine) as session:
            for row, user in session.execute(query.order_by(j.id)):
                some = found.setdefault((row.external_ref, row.text_id, user), [])
                assert row.revision == len(some), "each revision follows the last"
                some.append(
                    Verdict(
                        row.external_ref,
                        user,
                        row.text_id,
                        tuple(row.asserted),
                        tuple(row.denied),
                        row.withdrawn,
                        row.explanation,
                    )
                )
        return list(found.values())

    def mirror(self, task: int) -> list[store.Annotation]:
        """What is noted of a task's annotations, in order of their making."""
        a = store.Annotation
        with open_session(self.engine) as session:
            query = select(a).where(a.project_id == self.project.project_id, a.task_id == task)
            return list(session.scalars(query.order_by(a.created_at)))

    def states(self, task: int) -> list[AnnotationState]:
        """The states of those."""
        return [one.state for one in self.mirror(task)]

    def cursor(self) -> store.SyncCursor:
        """How far the project was pulled."""
        with open_session(self.engine) as session:
            return session.get_one(store.SyncCursor, self.project.project_id)

    def move_cursor(self, **fields: datetime | None) -> None:
        """Put the cursor somewhere else."""
        c = store.SyncCursor
        with open_session(self.engine) as session, session.begin():
            session.execute(update(c).where(c.project_id == self.project.project_id).values(**fields))

    def a_minute_passes(self) -> None:
        """As if the server's clock had been read long after the last change."""
        self.move_cursor(looked_at=self.cursor().watermark + timedelta(minutes=2))

    def runs(self) -> int:
        """How many pulls and comparisons were recorded."""
        with open_session(self.engine) as session:
            query = select(func.count()).select_from(store.Run).where(store.Run.stage == "pull")
            return session.execute(query).scalar_one()


@contextmanager
def new_world(engine: Engine, access: LabelStudioAccess, folder: Path, **how: Any) -> Iterator[World]:
    """A project of its own in the shared server."""
    headers = {"Authorization": f"Token {access.api_key}"}
    with (
        LabelStudio(access.url, access.api_key, sleep=lambda _: None) as client,
        httpx.Client(base_url=access.url, headers=headers, timeout=60, trust_env=False) as api,
    ):
        yield World(engine, client, api, make_project(engine, client, **how), folder)


def denied_by(*asserted: str) -> tuple[str, ...]:
    """What is denied where these are ticked and everything was shown."""
    return tuple(sorted(set(TAXONOMY.keys) - set(asserted)))
