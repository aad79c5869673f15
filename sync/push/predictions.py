"""Predictions for the open tasks of a project: written ahead in bulk, shown by one change, old ones removed after.

Nothing is hidden at any moment: until the change the old version is shown, after it the new one, on the page and in the
order of serving alike.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert, select

from pipeline import store
from pipeline.errors import (
    LabelStudioError,
    LabelStudioMissing,
    LabelStudioRefused,
    LabelStudioUnavailable,
    UncertainOutcome,
)
from pipeline.models.artefact import TrainedModel
from pipeline.preannotation import Policy, Preannotator, Proposal
from pipeline.preannotation.label_studio_format import Control, score_of
from pipeline.preannotation.told import panel
from pipeline.progress import Progress, silent
from pipeline.runs.record import stage_run
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState, TaskState
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio
from sync.project.page_check import refusals
from sync.push.task_rows import control_of, prediction_result, prediction_rows
from sync.push.turns import in_turn

log = logging.getLogger(__name__)

#: predictions a call: the server recounts the whole project for each call, so few and large ones
_BATCH = 10_000
#: tasks whose panel of reasons is rewritten, which takes a call each
_PANELS = 500


@dataclass(frozen=True, slots=True)
class PredictReport:
    """Counts of the predictions that one call wrote."""

    project_id: int
    #: None: nothing was to be done
    version: str | None
    champion: str | None
    sent: int
    #: as the server counted
    created: int
    #: open tasks whose ticks are others than before
    changed: int
    #: of them, those whose reasons were rewritten too
    panels: int
    #: versions that were removed
    removed: tuple[str, ...] = ()


def predict_ahead(
    engine: Engine,
    client: LabelStudio,
    project_id: int,
    *,
    taxonomy: Taxonomy,
    model: TrainedModel | None,
    policy: Policy,
    now: datetime | None = None,
    progress: Progress = silent,
) -> PredictReport:
    """Write the open tasks' predictions anew, show them, and remove the old ones.

    If the server does not take all of them, nothing is switched: the old version stays, and the error says so.

    Raises:
        RunConflict: this is under way already.
        LabelStudioError: the server took fewer predictions than were sent, or fails.
    """
    at = now or datetime.now(UTC)
    with (
        stage_run(engine, "predict-ahead", slice=str(project_id), progress=progress) as run,
        in_turn(engine, project_id),
    ):
        with open_session(engine) as session:
            project = session.get(store.Project, project_id)
        if project is None or project.state is not ProjectState.OPEN:
            raise LabelStudioMissing(f"project {project_id} is not in Label Studio any more: run `saring sync setup`")
        writer = _Writer(
            engine,
            client,
            project,
            Preannotator(taxonomy, model, policy),
            control_of(client, project, taxonomy),
        )
        if project.model_version:
            # otherwise what a push wrote before it died may be all that is shown, so it goes last
            writer.clean_up(("writing", "failed"))
        tasks = writer.open_tasks()
        champion = model.manifest.version if model is not None else None
        if not tasks:
            return PredictReport(project_id, None, champion, 0, 0, 0, 0)
        version = f"{writer.preannotator.version}-{at:%Y%m%dT%H%M%SZ}"
        proposals = writer.keep(tasks, version, run.advance)
        created = writer.write(tasks, proposals, version, run.advance)
        changed = writer.changed(tasks, proposals)
        panels = writer.rewrite_panels(changed[:_PANELS], proposals)
        writer.show(version, len(tasks), created)
        removed = writer.clean_up(("retired", "writing", "failed"))
        run.counts = {"sent": len(tasks), "created": created, "changed": len(changed)}
        return PredictReport(project_id, version, champion, len(tasks), created, len(changed), panels, removed)


@dataclass(frozen=True, slots=True)
class _Writer:
    engine: Engine
    client: LabelStudio
    project: store.Project
    preannotator: Preannotator
    #: of the project's page, for the ticks
    control: Control

    def open_tasks(self) -> Sequence[store.Task]:
        t = store.Task
        with open_session(self.engine) as session:
            return session.scalars(
                select(t).where(t.project_id == self.project.id, t.state == TaskState.OPEN).order_by(t.label_studio_id)
            ).all()

    def keep(self, tasks: Sequence[store.Task], version: str, tell: Progress) -> dict[uuid.UUID, Proposal]:
        """Compute the proposals, and write down what is about to be sent."""
        tell(0, len(tasks), "computing predictions")
        model = self.preannotator.model
        with open_session(self.engine) as session, session.begin():
            proposals = self.preannotator.known(session, [task.text_id for task in tasks])
            session.add(
                store.PredictionBatch(
                    project_id=self.project.id,
                    version=version,
                    state="writing",
                    champion=model.manifest.version if model is not None else None,
                    policy=self.preannotator.policy.to_dict(),
                )
            )
            session.flush()
            session.execute(insert(store.Prediction), prediction_rows(self.project.id, version, tasks, proposals))
        return proposals

    def write(
        self, tasks: Sequence[store.Task], proposals: dict[uuid.UUID, Proposal], version: str, tell: Progress
    ) -> int:
        """Send the predictions; how many the server says that it has.

        Raises:
            LabelStudioError: fewer than were sent.
        """
        created = 0
        for start in range(0, len(tasks), _BATCH):
            some = tasks[start : start + _BATCH]
            rows = [_row(task, proposals[task.text_id], version, self.control) for task in some]
            try:
                created += self.client.import_predictions(self.project.label_studio_id, rows)
            except (UncertainOutcome, LabelStudioUnavailable, LabelStudioRefused, LabelStudioMissing):
                self._give_up(version, len(tasks), created)
                raise
            except LabelStudioError as error:
                # a task that is gone has the whole call turned down
                self._give_up(version, len(tasks), created)
                raise LabelStudioError(
                    f"{self.client.url} turned down predictions of project {self.project.label_studio_id}: the old "
                    f"ones stay; run `saring sync reconcile`, which notes tasks that are gone, then try again ({error})"
                ) from error
            tell(start + len(some), len(tasks), "writing predictions ahead")
        if created != len(tasks):
            self._give_up(version, len(tasks), created)
            raise LabelStudioError(
                f"{self.client.url} took {created} of {len(tasks)} predictions of project "
                f"{self.project.label_studio_id}{self._why_refused(tasks, proposals, version)}: the old ones stay; see "
                "whether its labels are the taxonomy's (`saring sync setup`), then `saring sync reconcile` for tasks "
                "that are gone"
            )
        return created

    def _why_refused(self, tasks: Sequence[store.Task], proposals: dict[uuid.UUID, Proposal], version: str) -> str:
        """The reasons why the project's page has no room for predictions: the server drops them silently."""
        page = self.client.project(self.project.label_studio_id).label_config or ""
        reasons = refusals(page, [_row(task, proposals[task.text_id], version, self.control) for task in tasks])
        if not reasons:
            return ""
        [(reason, number)] = reasons.most_common(1)
        return f" ({number} of them: {reason})"

    def _give_up(self, version: str, sent: int, created: int) -> None:
        with open_session(self.engine) as session, session.begin():
            batch = session.get_one(store.PredictionBatch, (self.project.id, version))
            batch.state, batch.sent, batch.created = "failed", sent, created

    def changed(self, tasks: Sequence[store.Task], proposals: dict[uuid.UUID, Proposal]) -> list[store.Task]:
        """Tasks whose ticks will be others than the ones that are shown now."""
        p = store.Prediction
        with open_session(self.engine) as session:
            rows = session.execute(
                select(p.text_id, p.labels).where(
                    p.project_id == self.project.id, p.version == self.project.model_version
                )
            )
            before = {text_id: set(labels) for text_id, labels in rows}
        return [
            task for task in tasks if not task.blind and before.get(task.text_id) != set(proposals[task.text_id].labels)
        ]

    def rewrite_panels(self, tasks: Sequence[store.Task], proposals: dict[uuid.UUID, Proposal]) -> int:
        """Give tasks whose ticks change their new reasons."""
        for task in tasks:
            proposal = proposals[task.text_id]
            there = str(task.label_studio_id)
            reasons = {"why": panel(proposal.told), "confidence": proposal.confidence}
            try:
                self.client.tasks.update(there, data=self.client.tasks.get(there).data | reasons)
            except LabelStudioMissing:
                log.info("task %s is gone; a reconciliation will note it", task.label_studio_id)
        return len(tasks)

    def show(self, version: str, sent: int, created: int) -> None:
        """Show the version, in one change."""
        there = self.client.update_project(self.project.label_studio_id, model_version=version)
        if there.model_version != version:
            raise LabelStudioError(f"{self.client.url} did not switch to the new predictions: the old ones stay")
        b = store.PredictionBatch
        with open_session(self.engine) as session, session.begin():
            for old in session.scalars(select(b).where(b.project_id == self.project.id, b.state == "shown")):
                old.state = "retired"
            batch = session.get_one(b, (self.project.id, version))
            batch.state, batch.sent, batch.created, batch.shown_at = "shown", sent, created, datetime.now(UTC)
            session.get_one(store.Project, self.project.id).model_version = version

    def clean_up(self, states: tuple[str, ...]) -> tuple[str, ...]:
        """Remove from the server what is not shown: annotations keep a copy of what they began from."""
        b = store.PredictionBatch
        with open_session(self.engine) as session:
            old = session.scalars(select(b.version).where(b.project_id == self.project.id, b.state.in_(states))).all()
        for version in old:
            self.client.delete_predictions(self.project.label_studio_id, version)
            with open_session(self.engine) as session, session.begin():
                session.get_one(b, (self.project.id, version)).state = "removed"
        return tuple(old)


def _row(task: store.Task, proposal: Proposal, version: str, control: Control) -> dict[str, Any]:
    return {
        "task": task.label_studio_id,
        "result": [] if task.blind else prediction_result(proposal, control),
        "score": score_of(task.priority),
        "model_version": version,
    }
