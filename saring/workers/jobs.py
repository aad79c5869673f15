"""The regular jobs. Each is thin: it calls the action that a command calls, and logs a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import redis
from celery import Task, shared_task
from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import (
    LabelStudioError,
    LabelStudioMissing,
    LeftOut,
    ModelError,
    NotEnoughLabels,
    RunCancelled,
    RunConflict,
    ServiceError,
    StoreError,
    UsageError,
)
from pipeline.learning import registry
from pipeline.learning.due import news_since_training, why_due
from pipeline.plural import counted
from pipeline.queue.build import STAGE as QUEUE_STAGE
from pipeline.queue.config import QueueConfig
from pipeline.runs.executor import Inline
from pipeline.runs.record import one_line
from pipeline.runs.requests import lost_requests
from pipeline.runs.run_logs import LoggedSteps
from pipeline.runs.shard import is_worth_retrying
from pipeline.runs.tasks import send_shards
from pipeline.store.locks import lock_key, tried
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import QueueState, TaskState
from pipeline.store.tables.work import ShardState
from saring.actions import drift, label_studio, notices, projects, queue, review, volunteers
from saring.actions.starting.catalogue import STARTABLE, begin
from saring.actions.training import train
from saring.context import Context
from saring.workers.reembed import plan_reembedding
from saring.workers.schedule import renew_schedule

log = logging.getLogger(__name__)

#: event that Label Studio's training button sends
TRAINING_BUTTON = "START_TRAINING"
#: errors after which the scheduler sends the job again; they are logged in one line, without a traceback
_AWAY = (StoreError, ServiceError, DBAPIError, redis.RedisError)
#: age of a queue below which a new build would find no more texts
_DRAWN_LATELY = timedelta(minutes=10)
#: seconds after which a process that sends notices is ended: a receiver may answer a byte at a time
_LONGEST_SENDING = 600


@shared_task(name="saring.pull", bind=True, throws=_AWAY)
def pull_job(self: Task, **_: object) -> None:
    """Copy changed annotations into the ledger, and send tasks on which raters disagree to another volunteer."""
    home = _home(self)
    with _label_studio_may_fail("pull"):
        # what volunteers answered while Label Studio was away, or as a process was killed
        if any((finished := volunteers.finish(home)).values()):
            log.info("answers from phones: %s", finished)
        log.info("pulled: %s", label_studio.pull(home))


@shared_task(name="saring.reconcile", bind=True, throws=_AWAY)
def reconcile_job(self: Task, **_: object) -> None:
    """Compare every annotation with the ledger, and repair."""
    home = _home(self)
    with _label_studio_may_fail("reconcile"):
        log.info("reconciled: %s", label_studio.reconcile(home))


@shared_task(name="saring.predict_ahead", bind=True, throws=_AWAY)
def predict_ahead_job(self: Task, **_: object) -> None:
    """Renew the predictions of open tasks in projects that show predictions of an earlier champion."""
    _predict_ahead(_home(self))


def _predict_ahead(home: Context) -> None:
    with _label_studio_may_fail("predict"):
        with projects.connect(home) as client:
            outdated = _outdated(home.engine, projects.current_projects(home, client))
        for project in outdated:
            log.info("predictions renewed: %s", label_studio.predict(home, project.label_studio_id))


@shared_task(name="saring.retrain", bind=True, throws=_AWAY)
def retrain_job(self: Task, **_: object) -> None:
    """Retrain if a retraining is due.

    It is due if the training button was pressed since the last time (many presses make one retraining), if people have
    made enough new judgements, or if new judgements have waited long enough.
    """
    home = _home(self)
    with tried(home.engine, lock_key("job", "retrain")) as alone:
        if not alone:
            log.info("not retrained: another retraining is running")
            return
        # The requests are read under the lock, after the retraining before has marked those that it handled.
        requests = _waiting_requests(home.engine)
        reason = "the training button" if requests else _why_due(home)
        if reason is None:
            return
        log.info("retraining: %s", reason)
        promoted = False
        newest = _newest_judgement(home.engine)
        try:
            # A person finds the log by the run, on whichever machine it was.
            trained = train(home, executor=Inline(logged=True), progress=LoggedSteps())
            promoted = trained.promoted is True
            log.info("retrained: %s, %s", trained.model, trained.verdict)
        except (NotEnoughLabels, RunCancelled) as error:
            log.warning("not retrained: %s", error)
        except RunConflict as error:
            log.info("not retrained: %s", error)
            return
        if _newest_judgement(home.engine) == newest:
            # Requests that came during the retraining are handled too: there are no new judgements to train on.
            requests = _waiting_requests(home.engine)
        # Requests are marked at the end, so that they stay for another worker if this one dies before.
        _mark_handled(home.engine, requests)
    if promoted:
        _predict_ahead(home)
    _find_disputes(home)


def _find_disputes(home: Context) -> None:
    """Renew what reviewers should settle: a training comes when people have said much that is new."""
    try:
        report = review.find(home, executor=Inline(logged=True), progress=LoggedSteps())
    except RunConflict as error:
        log.info("disputes: %s", error)
    else:
        log.info("waiting for reviewers: %s", dict(report.waiting))


@shared_task(name="saring.refill", bind=True, throws=_AWAY)
def refill_job(self: Task, **_: object) -> None:
    """Draw a new queue and push it, if few texts are left for people."""
    home = _home(self)
    renewed = renew_schedule(self.app, home.settings)
    if renewed:
        log.info("new times of regular jobs, from the settings: %s", ", ".join(renewed))
    if not home.settings.queue_low:
        return
    with tried(home.engine, lock_key("job", "refill")) as alone, _label_studio_may_fail("refill"):
        if not alone or not _runs_low(home.engine, home.settings.queue_low, datetime.now(UTC)):
            return
        with projects.connect(home) as client:
            # Without a project no queue is needed; this raises LabelStudioMissing.
            projects.current_projects(home, client)
        report = queue.build(home, QueueConfig(size=home.settings.queue_refill))
        sent = sum(project.sent for project in label_studio.push(home).projects)
        log.info("few texts were left for people: %s drawn, %s sent", counted(report.drawn, "text"), f"{sent:,}")


@shared_task(name="saring.reembed", bind=True, throws=_AWAY)
def reembed_job(self: Task, **_: object) -> None:
    """Have the workers compute the vectors of the wanted encoder, if another encoder is in use."""
    home = _home(self)
    with tried(home.engine, lock_key("job", "reembed")) as alone:
        planned = plan_reembedding(home, now=datetime.now(UTC)) if alone else None
    if planned is not None:
        run_id, numbers = planned
        log.info("run %s embeds all texts with %s; the encoder in use stays until then", run_id, home.settings.encoder)
        send_shards(self.app, self.app.conf.saring, run_id, numbers)


@shared_task(name="saring.start", bind=True, throws=_AWAY)
def start_job(self: Task, request: int | None = None, **_: object) -> None:
    """Begin the runs of a request. Without a request, send the messages of waiting requests again that may be lost."""
    home = _home(self)
    if request is not None:
        environment = self.app.conf.saring
        try:
            for run_id, numbers in begin(home, environment.stages, request):
                send_shards(self.app, environment, run_id, numbers)
        except Exception as error:
            if isinstance(error, _AWAY) or not is_worth_retrying(error):
                raise
            # It is in the request too, which is sent again after a while.
            log.warning("request %s cannot begin now: %s", request, one_line(error))
        return
    resend_after = timedelta(seconds=home.settings.resend_seconds)
    for lost in lost_requests(home.engine, now=datetime.now(UTC), resend_after=resend_after):
        queue = STARTABLE[lost.stage].queue if lost.stage in STARTABLE else "io"
        log.info("request %s, %s, is sent again", lost.id, lost.stage)
        self.app.send_task("saring.start", kwargs={"request": lost.id}, queue=queue)


@shared_task(name="saring.send", bind=True, throws=_AWAY)
def send_job(self: Task, run_id: int, **_: object) -> None:
    """Send the waiting shards of a run that was opened again."""
    s = store.Shard
    with open_session(_home(self).engine) as session:
        waiting = session.scalars(
            select(s.number).where(s.run_id == run_id, s.state == ShardState.WAITING).order_by(s.number)
        ).all()
    send_shards(self.app, self.app.conf.saring, run_id, waiting)


@shared_task(name="saring.notices", bind=True, throws=_AWAY, time_limit=_LONGEST_SENDING)
def notices_job(self: Task, **_: object) -> None:
    """Look for what people should know, and send it as `notices.yaml` says."""
    home = _home(self)
    with tried(home.engine, lock_key("job", "look")) as alone:
        if alone:
            notices.look(home)
    try:
        delivered = notices.deliver(home)
    except UsageError as error:
        log.warning("notices wait: %s", error)
        return
    if delivered is not None and (delivered.sent or delivered.delayed or delivered.failed):
        log.info("notices: %s", delivered)


@shared_task(name="saring.drift", bind=True, throws=_AWAY)
def drift_job(self: Task, **_: object) -> None:
    """Measure drift, and record what people should know of it."""
    home = _home(self)
    with tried(home.engine, lock_key("job", "drift")) as alone:
        if not alone:
            return
        try:
            report = drift.drift(home)
        except ModelError as error:
            log.warning("drift is not measured: %s", error)
            return
        log.info("drift: %s, %d new", counted(len(report.alarms), "alarm"), drift.tell_of_drift(home, report))


def _why_due(home: Context) -> str | None:
    with open_session(home.engine) as session:
        news = news_since_training(session)
    return why_due(news, labels=home.settings.retrain_labels, hours=home.settings.retrain_hours, now=datetime.now(UTC))


def _runs_low(engine: Engine, low: int, now: datetime) -> bool:
    """True if fewer than `low` texts are left for people, and no queue was drawn in the last minutes."""
    with open_session(engine) as session:
        return _waiting(session) < low and not _drawn_since(session, now - _DRAWN_LATELY)


def _waiting(session: Session) -> int:
    k, q = store.Task, store.QueueItem
    open_tasks = select(func.count()).select_from(k).where(k.state.in_((TaskState.OPEN, TaskState.PUSHING)))
    queued = select(func.count()).select_from(q).where(q.state == QueueState.QUEUED)
    return (session.scalar(open_tasks) or 0) + (session.scalar(queued) or 0)


def _drawn_since(session: Session, moment: datetime) -> bool:
    r = store.Run
    return session.scalars(select(r.id).where(r.stage == QUEUE_STAGE, r.started_at > moment)).first() is not None


def _outdated(engine: Engine, projects: Sequence[store.Project]) -> list[store.Project]:
    """The projects with open tasks that show predictions of an earlier champion."""
    b, t = store.PredictionBatch, store.Task
    with open_session(engine) as session:
        champion = registry.champion(session, "sfw")
        shown = dict(session.execute(select(b.project_id, b.champion).where(b.state == "shown")).all())
        has_open = set(session.scalars(select(t.project_id).where(t.state == TaskState.OPEN).distinct()))
    now = champion.version if champion is not None else None
    return [
        project for project in projects if project.id in has_open and project.id in shown and shown[project.id] != now
    ]


def _newest_judgement(engine: Engine) -> int | None:
    with open_session(engine) as session:
        return session.scalar(select(func.max(store.Judgement.id)))


def _waiting_requests(engine: Engine) -> list[int]:
    e = store.Event
    with open_session(engine) as session:
        return list(session.scalars(select(e.id).where(e.action == TRAINING_BUTTON, e.handled_at.is_(None))))


def _mark_handled(engine: Engine, events: list[int]) -> None:
    e = store.Event
    with open_session(engine) as session, session.begin():
        session.execute(update(e).where(e.id.in_(events)).values(handled_at=datetime.now(UTC)))


def _home(task: Task) -> Context:
    home: Context = task.app.conf.saring.context()
    return home


@contextmanager
def _label_studio_may_fail(job: str) -> Iterator[None]:
    """Log an error of Label Studio in one line. The scheduler sends the job again; stored data stays."""
    try:
        yield
    except RunConflict as error:
        log.info("%s: another run is active: %s", job, error)
    except (LabelStudioMissing, LeftOut) as error:
        log.info("%s: nothing to do: %s", job, error)
    except LabelStudioError as error:
        log.warning("%s: %s", job, error)
