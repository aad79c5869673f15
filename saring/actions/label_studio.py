"""Push tasks to Label Studio, pull annotations from it, and compare both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.backend_credentials import backend_credentials
from pipeline.errors import LabelStudioMissing, UsageError
from pipeline.models.artefact import TrainedModel
from pipeline.preannotation import Policy, fit_policy
from pipeline.progress import Progress, silent
from pipeline.runs.executor import Executor, Inline, run
from pipeline.runs.stage import Next, Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values, from_values, to_values
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from saring.actions.models import load_champion
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

#: each project has a run record of its own, which a pull that finds nothing does not make
_INLINE = Inline(recorded=False)
#: tasks that a push sends to a personal project unless told otherwise
_PERSONAL = 50
_HOUR = 3600
P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ProjectParams:
    """Which project."""

    #: Label Studio's id of it; None: all open ones
    project: int | None = None


@dataclass(frozen=True, slots=True)
class ReconcileParams:
    """What to compare."""

    #: Label Studio's id of a project; None: all open ones
    project: int | None = None
    #: take back the annotations of tasks that are gone
    withdraw_deleted: bool = False


@dataclass(frozen=True, slots=True)
class PushParams:
    """What to push."""

    #: Label Studio's id of a project; None: all open ones
    project: int | None = None
    #: texts a project at most; None: all that wait, or a day's work for a personal project
    limit: int | None = None


@dataclass(slots=True)
class Pulled(PullReport):
    """What a pull did."""

    #: tasks that were sent to another volunteer, because raters disagree
    reviews_asked: int = 0


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, project by project."""

    projects: Sequence[PushReport] = ()


@dataclass(frozen=True, slots=True)
class Predicted:
    """What predictions were written, project by project."""

    projects: Sequence[PredictReport] = ()


class ProjectStage(ABC, Generic[P, R]):
    """A stage that talks to Label Studio, a project a shard. Its parameters have a `project`."""

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
        """Do one project; plain values or a report, which are added up over the projects."""

    def plan(self, home: WorkContext, params: P) -> Plan:
        """The open projects, personal ones first: what they leave is for everyone."""
        plain: Values = to_values(params)
        with connect(home) as client:
            projects = current_projects(home, client, plain["project"])
        ordered = sorted(projects, key=lambda project: (project.volunteer is None, project.id))
        return Plan("", [Part(args={"project": project.id}) for project in ordered], params=plain)

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """One project."""
        with open_session(home.engine) as session:
            project = session.get(store.Project, part.args["project"])
        if project is None:
            return {}
        with connect(home) as client:
            values: Values = to_values(self.call(home, client, project, run, step.progress))
        return values

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> R | Next:
        """What was done in all projects together."""
        return from_values(self.report, counts)


class _Ticks:
    """The champion and the policy by which labels are ticked, made once a run."""

    def __init__(self) -> None:
        self._made: tuple[int, TrainedModel | None, Policy] | None = None

    def of(self, home: WorkContext, run_id: int) -> tuple[TrainedModel | None, Policy]:
        """Those of a run."""
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
        over = report.gone or report.failed
        asked = 0 if over else request_reviews(home.engine, client, project_id=project.id).asked
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
    """Write the predictions of open tasks anew, and show them."""

    def __init__(self) -> None:
        self._ticks = _Ticks()

    name = "predict-ahead"
    what = "writing predictions"
    params = ProjectParams
    report = Predicted

    def call(
        self, home: WorkContext, client: LabelStudio, project: store.Project, run: RunView, progress: Progress
    ) -> Values:
        """Write those of one project."""
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
        home: whose ledger.
        project: Label Studio's id of a project; None: all open ones.
        executor: who does it; without one, this process.
        progress: told of every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: another pull is at work.
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
    """Compare every annotation with the ledger, and repair. Doing it again finds nothing.

    Args:
        home: whose ledger.
        project: Label Studio's id of a project; None: all open ones.
        withdraw_deleted: take back the annotations of tasks that are gone from Label Studio.
        executor: who does it; without one, this process.
        progress: told of every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: a pull or another comparison is at work.
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
    """Send queued texts to Label Studio, with labels ticked. Doing it again sends nothing twice.

    Personal projects come first, with a day's work at most: the rest is for everyone.

    Args:
        home: whose queue.
        project: Label Studio's id of a project; None: all open ones.
        limit: texts a project at most.
        executor: who does it; without one, this process.
        progress: told of every call.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: another push is at work.
    """
    return run(PushStage(), home, PushParams(project, limit), executor=executor or _INLINE, progress=progress)


def predict(
    home: Context, project: int | None = None, *, executor: Executor | None = None, progress: Progress = silent
) -> Predicted:
    """Tick the open tasks anew, from what is known now. Nothing is hidden at any moment.

    Args:
        home: whose champion.
        project: Label Studio's id of a project; None: all open ones.
        executor: who does it; without one, this process.
        progress: told of every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: predictions are being written already.
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
    """Make the Label Studio project from the taxonomy, or bring it up to date. Doing it again changes nothing.

    Args:
        home: whose taxonomy.
        title: name of the project, 3 to 50 characters.
        volunteer: address or id of the account whom the project is for; None: everyone.
        opt_out: labels whose texts are never pushed there; None: as before; empty: none.
        harsh_cap: harsh tasks a volunteer and day at most.
        backend: connect the ML backend and its webhook.
        force: overwrite what was edited by hand in Label Studio.
        drop_labels: drop labels that annotations use; the ledger keeps them.
        progress: told while services start.

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


@contextmanager
def connect(home: WorkContext, progress: Progress = silent) -> Iterator[LabelStudio]:
    """A client of the Label Studio of this home; the embedded one is started if need be.

    Raises:
        ServiceError: it cannot be started.
    """
    from saring.services import ensure_label_studio

    access = ensure_label_studio(home.settings, progress)
    with LabelStudio(access.url, access.api_key) as client:
        yield client


def current_projects(home: WorkContext, client: LabelStudio, chosen: int | None = None) -> Sequence[store.Project]:
    """The open projects of this store on that server.

    Args:
        home: whose store.
        client: the server.
        chosen: Label Studio's id of a project; None: all.

    Raises:
        LabelStudioMissing: there is none, or not the chosen one.
    """
    p = store.Project
    query = select(p).where(p.url == client.url, p.state == ProjectState.OPEN).order_by(p.id)
    if chosen is not None:
        query = query.where(p.label_studio_id == chosen)
    with open_session(home.engine) as session:
        projects = session.scalars(query).all()
    if not projects:
        which = f"no project {chosen} of Saring's" if chosen is not None else "no project of Saring's"
        raise LabelStudioMissing(f"{which} at {client.url}: run `saring sync setup`")
    return projects


def _account(client: LabelStudio, named: str) -> str:
    """The id of the account with that address or id."""
    for user in client.users():
        if named.strip().casefold() in (str(user.id), str(user.email).casefold()):
            return str(user.id)
    raise UsageError(
        f"no account of Label Studio is {named!r}: invite them first (Organization, Add members), or check the address"
    )


def _plain(report: PullReport | ReconcileReport) -> Values:
    """The fields of a report by name; before Python 3.12, `asdict` counts the entries of a Counter instead."""
    values: Values = to_values({field.name: getattr(report, field.name) for field in fields(report)})
    return values


def _now() -> datetime:
    return datetime.now(UTC)
