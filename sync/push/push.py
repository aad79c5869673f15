"""Sending queued texts to a project, each once, with what is ticked on it.

A task is stored as `pushing`, with the mark of its call, before the call is made, and the mark travels in the task's
data. Where the outcome of a call is unknown, what arrived is found by the mark, and only the rest is sent again.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, cast

from sqlalchemy import Engine, Table, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import LabelStudioMissing, UncertainOutcome
from pipeline.models.artefact import TrainedModel
from pipeline.preannotation import Policy, Preannotator, Proposal
from pipeline.preannotation.label_studio_format import Control
from pipeline.progress import Progress, silent
from pipeline.runs.record import stage_run
from pipeline.store.public_ids import PublicIds
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState, QueueState, TaskState
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio
from sync.push.claim import claim
from sync.push.task_rows import control_of, prediction_rows, task_row
from sync.push.turns import in_turn

log = logging.getLogger(__name__)

#: tasks a call: far below the server's limits, and few enough that a lost call is soon made again; the next ones are
#: prepared while the server is at work
_BATCH = 2_000
#: looks at a server that may still be at work on a call that broke off, and seconds between them
_LOOKS, _BETWEEN = 20, 1.0


@dataclass(frozen=True, slots=True)
class PushReport:
    """Counts of one push."""

    project_id: int
    #: tasks that are now in Label Studio because of this call
    sent: int
    #: tasks of an earlier, broken-off call that had arrived, of `sent`
    adopted: int
    #: tasks sent without ticks, by their coin
    blind: int
    harsh: int
    #: queued texts that were kept back because the project has its harsh tasks for today, or its volunteer opted out
    held_back: int
    #: texts that are still queued
    waiting: int
    #: version of the predictions that the project shows
    version: str | None


def push(
    engine: Engine,
    client: LabelStudio,
    project_id: int,
    *,
    taxonomy: Taxonomy,
    model: TrainedModel | None,
    policy: Policy,
    limit: int | None = None,
    only: Collection[uuid.UUID] | None = None,
    now: datetime | None = None,
    progress: Progress = silent,
    sleep: Callable[[float], None] = time.sleep,
) -> PushReport:
    """Send queued texts to a project, in the order of the queue. Doing it again sends nothing twice.

    Args:
        engine: the store.
        client: the project's server.
        project_id: our own id of the project.
        taxonomy: the labels.
        model: the champion, if there is one.
        policy: how evidence becomes ticks.
        limit: texts, at most.
        only: texts that may be sent, if they are queued; None: all queued texts.
        now: the moment that names new predictions.
        progress: told of every call.
        sleep: waits for a server that may still be at work.

    Raises:
        RunConflict: another push to this project is under way.
        UncertainOutcome: the server broke off and does not say what arrived; the next push finds out.
    """
    at = now or datetime.now(UTC)
    with stage_run(engine, "push", slice=str(project_id), progress=progress) as run, in_turn(engine, project_id):
        with open_session(engine) as session:
            project = session.get(store.Project, project_id)
        if project is None or project.state is not ProjectState.OPEN:
            raise LabelStudioMissing(f"project {project_id} is not in Label Studio any more: run `saring sync setup`")
        sender = _Sender(engine, client, project, Preannotator(taxonomy, model, policy), sleep)
        adopted = sender.settle()
        control = control_of(client, project, taxonomy)
        with open_session(engine) as session, session.begin():
            batch, held_back = claim(session, project, limit, at, only)
        begun = None if project.model_version else sender.begun()
        version = project.model_version or begun or f"{sender.preannotator.version}-{at:%Y%m%dT%H%M%SZ}"
        sent = sender.send(batch, version, control, run.advance)
        shown = bool(sent or begun)
        if shown:
            sender.show(version)
        with open_session(engine) as session:
            report = _report(session, project_id, batch, sent, adopted, held_back, version if shown else None)
        run.counts = {"sent": report.sent, "adopted": adopted, "held_back": held_back}
        return report


@dataclass(frozen=True, slots=True)
class _Sender:
    engine: Engine
    client: LabelStudio
    project: store.Project
    preannotator: Preannotator
    sleep: Callable[[float], None]

    def settle(self) -> int:
        """See to tasks of earlier calls that broke off: adopt what arrived, and forget what did not."""
        t = store.Task
        with open_session(self.engine) as session:
            unsure = session.scalars(
                select(t.batch).where(t.project_id == self.project.id, t.state == TaskState.PUSHING).distinct()
            ).all()
        adopted = 0
        for batch in unsure:
            arrived = self._arrived(batch)
            adopted += len(arrived)
            self._note(arrived)
            with open_session(self.engine) as session, session.begin():
                lost = session.scalars(select(t).where(t.batch == batch, t.state == TaskState.PUSHING)).all()
                for task in lost:
                    self._put_back(session, task)
        return adopted

    def send(self, batch: str, version: str, control: Control, tell: Progress) -> int:
        """Send what was claimed under `batch`, with its predictions; how many tasks arrived."""
        t = store.Task
        with open_session(self.engine) as session:
            ids = PublicIds.of_store(session)
            claimed = session.scalars(select(t).where(t.project_id == self.project.id, t.batch == batch)).all()
            # not in the order of the texts' own ids, which would say something of them
            tasks = sorted(claimed, key=lambda task: (-task.priority, ids.of(task.text_id)))
        if not tasks:
            return 0
        sent = tried = 0
        self._open(version)
        batches = [tasks[start : start + _BATCH] for start in range(0, len(tasks), _BATCH)]
        with ThreadPoolExecutor(1) as ahead:
            rows = ahead.submit(self._rows, batches[0], version, control)
            for some, following in zip_longest(batches, batches[1:]):
                ready = rows.result()
                if following is not None:
                    rows = ahead.submit(self._rows, following, version, control)
                sent += self._send(some, ready, version)
                tried += len(some)
                tell(tried, len(tasks), "sending tasks to Label Studio")
        return sent

    def begun(self) -> str | None:
        """The version that an earlier push sent and did not come to show: what arrived then has no other ticks."""
        b = store.PredictionBatch
        with open_session(self.engine) as session:
            written = session.scalars(
                select(b.version)
                .where(b.project_id == self.project.id, b.state == "writing")
                .order_by(b.created_at.desc())
            ).all()
        if not written:
            return None
        there = self.client.model_versions(self.project.label_studio_id)
        return next((version for version in written if there.get(version)), None)

    def _rows(self, tasks: Sequence[store.Task], version: str, control: Control) -> list[dict[str, Any]]:
        """The tasks as Label Studio takes them; what is ticked is kept first, so that whatever arrives is known."""
        wanted = [task.text_id for task in tasks]
        known = store.Text
        with open_session(self.engine) as session:
            ids = PublicIds.of_store(session)
            proposals = self.preannotator.known(session, wanted)
            rows = session.execute(select(known.id, known.masked, known.language).where(known.id == func.any(wanted)))
            texts = {text_id: (masked, language) for text_id, masked, language in rows}
        self._keep(tasks, proposals, version)
        return [
            task_row(task, ids.of(task.text_id), *texts[task.text_id], proposals[task.text_id], version, control)
            for task in tasks
        ]

    def _send(self, tasks: Sequence[store.Task], rows: list[dict[str, Any]], version: str) -> int:
        try:
            ids = self.client.import_tasks(self.project.label_studio_id, rows)
        except UncertainOutcome as error:
            log.warning("%s; looking for what arrived", error)
            arrived = self._arrived(tasks[0].batch)
            self._note(arrived)
            missing = [task for task in tasks if task.text_id not in arrived]
            if not missing:
                return len(tasks)
            if len(missing) == len(tasks):
                raise
            again = [row for task, row in zip(tasks, rows, strict=True) if task.text_id not in arrived]
            return len(tasks) - len(missing) + self._send(missing, again, version)
        self._note({task.text_id: label_studio_id for task, label_studio_id in zip(tasks, ids, strict=True)})
        return len(ids)

    def _keep(self, tasks: Sequence[store.Task], proposals: dict[uuid.UUID, Proposal], version: str) -> None:
        rows = prediction_rows(self.project.id, version, tasks, proposals)
        new = insert(store.Prediction)
        changed = {name: new.excluded[name] for name in ("labels", "scores", "why")}
        with open_session(self.engine) as session, session.begin():
            session.execute(
                new.on_conflict_do_update(index_elements=["project_id", "version", "text_id"], set_=changed), rows
            )

    def _note(self, arrived: dict[uuid.UUID, int]) -> None:
        """Write down which tasks arrived, and under which ids."""
        if not arrived:
            return
        t = store.Task
        with open_session(self.engine) as session, session.begin():
            # Label Studio gives the ids of removed tasks to new ones
            session.execute(
                update(t)
                .where(
                    t.project_id == self.project.id,
                    t.label_studio_id == func.any(list(arrived.values())),
                    t.text_id != func.all(list(arrived)),
                )
                .values(label_studio_id=None, state=TaskState.GONE)
            )
            # all in one go, which the ORM's own update by keys cannot do with a condition
            table = cast(Table, store.Task.__table__)
            session.connection().execute(
                update(table)
                .where(
                    table.c.project_id == self.project.id,
                    table.c.text_id == bindparam("of_text"),
                    table.c.state == TaskState.PUSHING,
                )
                .values(label_studio_id=bindparam("arrived_as"), state=TaskState.OPEN, pushed_at=func.now()),
                [{"of_text": text_id, "arrived_as": label_studio_id} for text_id, label_studio_id in arrived.items()],
            )

    def _arrived(self, batch: str) -> dict[uuid.UUID, int]:
        """The tasks of a call that are on the server, once their number no longer grows: its mark is that of the whole
        push."""
        t = store.Task
        with open_session(self.engine) as session:
            ids = PublicIds.of_store(session)
            sent = set(session.scalars(select(t.text_id).where(t.project_id == self.project.id, t.batch == batch)))
        before = -1
        arrived: dict[uuid.UUID, int] = {}
        for _ in range(_LOOKS):
            arrived = {}
            for task in self.client.marked_tasks(self.project.label_studio_id, batch):
                text_id = ids.meant(task["data"]["text_id"], sent)
                if text_id is not None:
                    # the first stays where a call was carried out twice; a reconciliation removes the others
                    arrived.setdefault(text_id, int(task["id"]))
            if len(arrived) == before:
                return arrived
            before = len(arrived)
            self.sleep(_BETWEEN)
        raise UncertainOutcome(f"{self.client.url} goes on making tasks of a call that broke off: push again later")

    def _put_back(self, session: Session, task: store.Task) -> None:
        """Let a text that never arrived wait again."""
        item = session.get(store.QueueItem, task.queue_item_id) if task.queue_item_id is not None else None
        session.delete(task)
        if item is not None and not session.scalar(
            select(store.QueueItem.id).where(
                store.QueueItem.text_id == item.text_id, store.QueueItem.state == QueueState.QUEUED
            )
        ):
            item.state = QueueState.QUEUED

    def _open(self, version: str) -> None:
        """Have a record of the version before anything is written under it."""
        with open_session(self.engine) as session, session.begin():
            if session.get(store.PredictionBatch, (self.project.id, version)) is None:
                model = self.preannotator.model
                session.add(
                    store.PredictionBatch(
                        project_id=self.project.id,
                        version=version,
                        state="writing",
                        champion=model.manifest.version if model is not None else None,
                        policy=self.preannotator.policy.to_dict(),
                    )
                )

    def show(self, version: str) -> None:
        """Have the project show the version, if it shows none yet."""
        if self.project.model_version == version:
            return
        self.client.update_project(self.project.label_studio_id, model_version=version)
        with open_session(self.engine) as session, session.begin():
            project = session.get_one(store.Project, self.project.id)
            project.model_version = version
            batch = session.get_one(store.PredictionBatch, (self.project.id, version))
            batch.state, batch.shown_at = "shown", datetime.now(UTC)


def _report(
    session: Session, project_id: int, batch: str, sent: int, adopted: int, held_back: int, version: str | None
) -> PushReport:
    t, q = store.Task, store.QueueItem
    own = (t.project_id == project_id, t.batch == batch, t.state != TaskState.PUSHING)

    def count(*conditions: Any) -> int:
        return session.execute(select(func.count()).select_from(t).where(*own, *conditions)).scalar_one()

    waiting = session.execute(select(func.count()).where(q.state == QueueState.QUEUED)).scalar_one()
    return PushReport(
        project_id,
        sent + adopted,
        adopted,
        count(t.blind),
        count(t.harsh),
        held_back,
        waiting,
        version,
    )
