"""The stages that work in Label Studio: push, predict ahead, pull, reconcile."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session

from pipeline import store
from pipeline.models.artefact import TrainedModel
from pipeline.preannotation import Policy, fit_policy
from pipeline.progress import Progress
from pipeline.review.find import catch_up
from pipeline.runs.stage import Next, Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values, from_values, to_values
from pipeline.store.session import open_session
from saring.actions.models import load_champion
from saring.actions.projects import connect, current_projects
from sync.api.client import LabelStudio
from sync.pull.pull import PullReport
from sync.pull.pull import pull as pull_annotations
from sync.pull.reconcile import ReconcileReport
from sync.pull.reconcile import reconcile as compare_annotations
from sync.push.predictions import PredictReport, predict_ahead
from sync.push.push import PushReport
from sync.push.push import push as push_tasks
from sync.quality.review import request_reviews

#: default number of tasks in a push to a personal project
_PERSONAL = 50
_HOUR = 3600
P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ProjectParams:
    """The project of a stage."""

    #: Label Studio's id of the project; None: all open projects
    project: int | None = None


@dataclass(frozen=True, slots=True)
class ReconcileParams:
    """The parameters of a comparison."""

    #: Label Studio's id of the project; None: all open projects
    project: int | None = None
    #: switch that withdraws the annotations of removed tasks
    withdraw_deleted: bool = False


@dataclass(frozen=True, slots=True)
class PushParams:
    """The parameters of a push."""

    #: Label Studio's id of the project; None: all open projects
    project: int | None = None
    #: largest number of texts for each project; None: all queued texts, or a day's work for a personal project
    limit: int | None = None
    #: ids of the texts that may be sent; None: all queued texts
    only: Sequence[uuid.UUID] | None = None


@dataclass(slots=True)
class Pulled(PullReport):
    """The report on a pull."""

    #: number of tasks that were sent to another volunteer, because raters disagree
    reviews_asked: int = 0


@dataclass(frozen=True, slots=True)
class Pushed:
    """The reports on a push, project by project."""

    projects: Sequence[PushReport] = ()


@dataclass(frozen=True, slots=True)
class Predicted:
    """The reports on renewed predictions, project by project."""

    projects: Sequence[PredictReport] = ()


class ProjectStage(ABC, Generic[P, R]):
    """A stage that works in Label Studio, with one shard for each project. Its parameters have a `project`."""

    name: str
    what: str
    params: type[P]
    report: type[R]
    queue: str = "io"
    in_shards: bool = True
    together: bool = False
    limit_seconds: int = 2 * _HOUR

    @abstractmethod
    def call(
        self, home: WorkContext, client: LabelStudio, project: store.Project, run: RunView, progress: Progress
    ) -> Any:
        """Process one project; the plain values of its report, which are added up over the projects."""

    def plan(self, home: WorkContext, params: P) -> Plan:
        """The open projects, personal ones first: they take texts before the shared projects do."""
        plain: Values = to_values(params)
        with connect(home) as client:
            projects = current_projects(home, client, plain["project"])
        ordered = sorted(projects, key=lambda project: (project.volunteer is None, project.id))
        return Plan("", [Part(args={"project": project.id}) for project in ordered], params=plain)

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Process the project of a shard."""
        with open_session(home.engine) as session:
            project = session.get(store.Project, part.args["project"])
        if project is None:
            return {}
        with connect(home) as client:
            values: Values = to_values(self.call(home, client, project, run, step.progress))
        return values

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> R | Next:
        """The report on all projects together."""
        return from_values(self.report, counts)


class _Ticks:
    """The champion and the policy that ticks labels, loaded once for each run."""

    def __init__(self) -> None:
        self._made: tuple[int, TrainedModel | None, Policy] | None = None

    def of(self, home: WorkContext, run_id: int) -> tuple[TrainedModel | None, Policy]:
        """The champion and the policy of a run."""
        if self._made is None or self._made[0] != run_id:
            model = load_champion(home.engine, home.settings)
            with open_session(home.engine) as session:
                self._made = run_id, model, fit_policy(session, taxonomy=home.taxonomy, model=model)
        return self._made[1:]


class PullStage(ProjectStage[ProjectParams, Pulled]):
    """Copy annotations that changed since the last pull into the ledger, each exactly once."""

    name = "pull"
    what = "pulling"
    params = ProjectParams
    report = Pulled

    def call(
        self, home: WorkContext, client: LabelStudio, project: store.Project, run: RunView, progress: Progress
    ) -> Values:
        """Pull one project, note new disputes, and send tasks on which raters disagree to another volunteer."""
        report = pull_annotations(
            home.engine,
            client,
            taxonomy=home.taxonomy,
            projects=[project.id],
            now=_now(),
            languages=home.settings.languages,
            progress=progress,
        )
        with home.begin() as session:
            catch_up(session, home.taxonomy)
        incomplete = report.gone or report.failed
        asked = 0 if incomplete else request_reviews(home.engine, client, project_id=project.id).asked
        return _plain(report) | {"reviews_asked": asked}


class ReconcileStage(ProjectStage[ReconcileParams, ReconcileReport]):
    """Compare every annotation with the ledger, and repair."""

    name = "reconcile"
    what = "comparing"
    params = ReconcileParams
    report = ReconcileReport

    def call(
        self, home: WorkContext, client: LabelStudio, project: store.Project, run: RunView, progress: Progress
    ) -> Values:
        """Compare one project."""
        report = compare_annotations(
            home.engine,
            client,
            taxonomy=home.taxonomy,
            projects=[project.id],
            now=_now(),
            languages=home.settings.languages,
            withdraw_deleted=run.params.get("withdraw_deleted", False),
            progress=progress,
        )
        return _plain(report)


class PushStage(ProjectStage[PushParams, Pushed]):
    """Send queued texts to Label Studio as tasks, with labels ticked."""

    def __init__(self) -> None:
        self._ticks = _Ticks()

    name = "push"
    what = "pushing"
    params = PushParams
    report = Pushed

    def call(
        self, home: WorkContext, client: LabelStudio, project: store.Project, run: RunView, progress: Progress
    ) -> Values:
        """Push to one project."""
        model, policy = self._ticks.of(home, run.id)
        # A run that an older version recorded has no such parameter.
        only = run.params.get("only")
        report = push_tasks(
            home.engine,
            client,
            project.id,
            taxonomy=home.taxonomy,
            model=model,
            policy=policy,
            limit=run.params["limit"] or (None if project.volunteer is None else _PERSONAL),
            only=None if only is None else {uuid.UUID(text_id) for text_id in only},
            now=_now(),
            progress=progress,
        )
        return {"projects": [asdict(report)]}


class PredictStage(ProjectStage[ProjectParams, Predicted]):
    """Renew the predictions of open tasks, and show them."""

    def __init__(self) -> None:
        self._ticks = _Ticks()

    name = "predict-ahead"
    what = "writing predictions"
    params = ProjectParams
    report = Predicted

    def call(
        self, home: WorkContext, client: LabelStudio, project: store.Project, run: RunView, progress: Progress
    ) -> Values:
        """Renew the predictions of one project."""
        model, policy = self._ticks.of(home, run.id)
        report = predict_ahead(
            home.engine,
            client,
            project.id,
            taxonomy=home.taxonomy,
            model=model,
            policy=policy,
            now=_now(),
            progress=progress,
        )
        return {"projects": [asdict(report)]}


def _plain(report: PullReport | ReconcileReport) -> Values:
    """The fields of a report by name; before Python 3.12, `asdict` counts the entries of a Counter instead."""
    values: Values = to_values({field.name: getattr(report, field.name) for field in fields(report)})
    return values


def _now() -> datetime:
    return datetime.now(UTC)
