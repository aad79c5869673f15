"""Push tasks to Label Studio, pull annotations from it, and compare both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session

from pipeline import store
from pipeline.backend_credentials import backend_credentials
from pipeline.errors import UsageError
from pipeline.models.artefact import TrainedModel
from pipeline.preannotation import Policy, fit_policy
from pipeline.progress import Progress, silent
from pipeline.runs.executor import Executor, Inline, run
from pipeline.runs.stage import Next, Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values, from_values, to_values
from pipeline.store.session import open_session
from saring.actions.models import load_champion
from saring.actions.projects import connect, current_projects
from saring.context import Context
from sync.api.client import LabelStudio
from sync.project.projects import SetupReport
from sync.project.projects import setup as set_up_project
from sync.pull.pull import PullReport
from sync.pull.pull import pull as pull_annotations
from sync.pull.reconcile import ReconcileReport
from sync.pull.reconcile import reconcile as compare_annotations
from sync.push.predictions import PredictReport, predict_ahead
from sync.push.push import PushReport
from sync.push.push import push as push_tasks
from sync.quality.review import request_reviews

#: executor that makes no run record: each project has its own record, which a pull without changes does not make
_INLINE = Inline(recorded=False)
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
        """Pull one project, and send tasks on which raters disagree to another volunteer."""
        report = pull_annotations(
            home.engine,
            client,
            taxonomy=home.taxonomy,
            projects=[project.id],
            now=_now(),
            languages=home.settings.languages,
            progress=progress,
        )
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
        report = push_tasks(
            home.engine,
            client,
            project.id,
            taxonomy=home.taxonomy,
            model=model,
            policy=policy,
            limit=run.params["limit"] or (None if project.volunteer is None else _PERSONAL),
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


def pull(
    home: Context, project: int | None = None, *, executor: Executor | None = None, progress: Progress = silent
) -> Pulled:
    """Copy annotations that changed since the last pull into the ledger. Doing it again adds nothing.

    Tasks on which raters disagree are sent to another volunteer.

    Args:
        home: the home with the ledger.
        project: Label Studio's id of the project; None: all open projects.
        executor: the place where the stage runs; None: this process.
        progress: called after every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: another pull is running.
    """
    return run(PullStage(), home, ProjectParams(project), executor=executor or _INLINE, progress=progress)


def reconcile(
    home: Context,
    project: int | None = None,
    *,
    withdraw_deleted: bool = False,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> ReconcileReport:
    """Compare every annotation with the ledger, and repair differences. Doing it again finds none.

    Args:
        home: the home with the ledger.
        project: Label Studio's id of the project; None: all open projects.
        withdraw_deleted: withdraw the annotations of tasks that were removed from Label Studio.
        executor: the place where the stage runs; None: this process.
        progress: called after every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: a pull or another comparison is running.
    """
    params = ReconcileParams(project, withdraw_deleted)
    return run(ReconcileStage(), home, params, executor=executor or _INLINE, progress=progress)


def push(
    home: Context,
    project: int | None = None,
    *,
    limit: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Pushed:
    """Send queued texts to Label Studio, with labels ticked. No text is sent twice.

    Personal projects come first, and get a day's work at most; the other texts go to the shared projects.

    Args:
        home: the home with the queue.
        project: Label Studio's id of the project; None: all open projects.
        limit: largest number of texts for each project; None: no limit, or a day's work for a personal project.
        executor: the place where the stage runs; None: this process.
        progress: called after every call of the API.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: another push is running.
    """
    return run(PushStage(), home, PushParams(project, limit), executor=executor or _INLINE, progress=progress)


def predict(
    home: Context, project: int | None = None, *, executor: Executor | None = None, progress: Progress = silent
) -> Predicted:
    """Renew the ticks of all open tasks, from the newest predictions. Tasks keep their ticks in the meantime.

    Args:
        home: the home with the champion.
        project: Label Studio's id of the project; None: all open projects.
        executor: the place where the stage runs; None: this process.
        progress: called after every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: predictions are being renewed already.
    """
    return run(PredictStage(), home, ProjectParams(project), executor=executor or _INLINE, progress=progress)


def setup(
    home: Context,
    *,
    title: str | None = None,
    volunteer: str | None = None,
    opt_out: Sequence[str] | None = None,
    harsh_cap: int | None = None,
    backend: bool = True,
    force: bool = False,
    drop_labels: bool = False,
    progress: Progress = silent,
) -> SetupReport:
    """Create the Label Studio project from the taxonomy, or update it. Doing it again changes nothing.

    Args:
        home: the home with the taxonomy.
        title: name of the project, 3 to 50 characters.
        volunteer: e-mail address or id of the account that the project is for; None: everyone.
        opt_out: labels whose texts are not pushed to it; None: as before; empty: none.
        harsh_cap: largest number of harsh tasks for a volunteer in a day; None: as before.
        backend: connect the ML backend and its webhook.
        force: overwrite changes made by hand in Label Studio.
        drop_labels: remove labels even if annotations use them; the ledger keeps them.
        progress: called while services start.

    Raises:
        UsageError: there is no such account.
        LabelStudioError: the server refuses.
    """
    from saring.services import ensure_backend

    with connect(home, progress) as client:
        return set_up_project(
            home.engine,
            client,
            taxonomy=home.taxonomy,
            backend_url=ensure_backend(home.settings, progress) if backend else None,
            credentials=backend_credentials(home.settings),
            volunteer=_account(client, volunteer) if volunteer is not None else None,
            opt_out=opt_out,
            harsh_cap=harsh_cap,
            title=title,
            force=force,
            drop_labels=drop_labels,
            now=_now(),
        )


def _account(client: LabelStudio, name: str) -> str:
    """The id of the account with this e-mail address or id."""
    for user in client.users():
        if name.strip().casefold() in (str(user.id), str(user.email).casefold()):
            return str(user.id)
    raise UsageError(
        f"Label Studio has no account {name!r}: check the address, or invite the person (Organization, Add members)"
    )


def _plain(report: PullReport | ReconcileReport) -> Values:
    """The fields of a report by name; before Python 3.12, `asdict` counts the entries of a Counter instead."""
    values: Values = to_values({field.name: getattr(report, field.name) for field in fields(report)})
    return values


def _now() -> datetime:
    return datetime.now(UTC)
