"""The regular jobs. Each is thin: it calls what a command calls, and logs a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import redis
from celery import Task, shared_task
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import (
    LabelStudioError,
    LabelStudioMissing,
    NotEnoughLabels,
    RunCancelled,
    RunConflict,
    ServiceError,
    StoreError,
)
from pipeline.learning import registry
from pipeline.learning.due import news_since_training, why_due
from pipeline.progress import silent
from pipeline.queue.build import STAGE as QUEUE_STAGE
from pipeline.queue.config import QueueConfig
from pipeline.runs.record import lock_key
from pipeline.runs.tasks import send_shards
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import QueueState, TaskState
from saring.actions.training_options import training_config
from saring.cli import common
from saring.cli.label_studio import connect, current_projects
from saring.workers.schedule import renew_schedule
from sync.api.client import LabelStudio

log = logging.getLogger(__name__)

#: what Label Studio's training button sends
TRAINING_BUTTON = "START_TRAINING"
#: the schedule tries again: one line in the log, and no more
_AWAY = (StoreError, ServiceError, DBAPIError, redis.RedisError)
#: a queue that was drawn so lately has what there is
_DRAWN_LATELY = timedelta(minutes=10)


@shared_task(name="saring.pull", bind=True, throws=_AWAY)
def pull_job(self: Task, **_: object) -> None:
    """Bring home what changed in Label Studio, and ask for another rater where raters disagree."""
    from sync.pull.pull import pull
    from sync.quality.review import request_reviews

    ctx = _context(self)
    with _label_studio(ctx) as client:
        try:
            report = pull(
                ctx.engine,
                client,
                taxonomy=ctx.taxonomy,
                now=datetime.now(UTC),
                languages=ctx.settings.languages,
            )
            log.info("pulled: %s", report)
            for project in current_projects(ctx, client):
                request_reviews(ctx.engine, client, project_id=project.id)
        except RunConflict:
            log.info("another pull is under way")
        except LabelStudioMissing as error:
            log.info("nothing to pull: %s", error)


@shared_task(name="saring.reconcile", bind=True, throws=_AWAY)
def reconcile_job(self: Task, **_: object) -> None:
    """Compare every annotation with the ledger, and repair."""
    from sync.pull.reconcile import reconcile

    ctx = _context(self)
    with _label_studio(ctx) as client:
        try:
            report = reconcile(
                ctx.engine,
                client,
                taxonomy=ctx.taxonomy,
                now=datetime.now(UTC),
                languages=ctx.settings.languages,
            )
            log.info("reconciled: %s", report)
        except RunConflict:
            log.info("another reconciliation is under way")


@shared_task(name="saring.predict_ahead", bind=True, throws=_AWAY)
def predict_ahead_job(self: Task, **_: object) -> None:
    """Write the open tasks' predictions anew and show them, where another champion wrote those that are shown."""
    _predict_ahead(_context(self))


def _predict_ahead(ctx: common.Context) -> None:
    from saring.cli.sync_push import predict_projects

    with _label_studio(ctx) as client:
        try:
            outdated = _outdated(ctx.engine, current_projects(ctx, client))
            if outdated:
                done = predict_projects(ctx, client, outdated, silent)
                log.info("predictions written ahead: %s", done)
        except RunConflict:
            log.info("predictions are being written already")
        except LabelStudioMissing as error:
            log.info("no predictions to write: %s", error)


@shared_task(name="saring.retrain", bind=True, throws=_AWAY)
def retrain_job(self: Task, **_: object) -> None:
    """Retrain if it is due: the training button was pressed since the last time (many presses are one retraining),
    or people have said enough, or waited long enough."""
    from saring.cli.stages import train_from_store

    ctx = _context(self)
    with _only_one(ctx.engine, "retrain") as alone:
        if not alone:
            log.info("not retrained yet: a retraining is under way")
            return
        # asked for now that the one before has said which it saw to
        asked = _waiting_requests(ctx.engine)
        why = "the training button" if asked else _why_due(ctx)
        if why is None:
            return
        log.info("retraining: %s", why)
        config = training_config(ctx)
        promoted = False
        known = _newest_judgement(ctx.engine)
        try:
            done = train_from_store(ctx, config, None, progress=silent)
            promoted = done.promoted
            log.info("retrained: %s, %s", done.report.model.manifest.version, done.verdict)
        except (NotEnoughLabels, RunCancelled) as error:
            log.warning("not retrained: %s", error)
        except RunConflict as error:
            log.info("not retrained yet: %s", error)
            return
        if _newest_judgement(ctx.engine) == known:
            # pressed again meanwhile, with nothing more to learn from
            asked = _waiting_requests(ctx.engine)
        # only now, so that a worker that dies meanwhile leaves the request for the next
        _mark_handled(ctx.engine, asked)
    if promoted:
        _predict_ahead(ctx)


@shared_task(name="saring.refill", bind=True, throws=_AWAY)
def refill_job(self: Task, **_: object) -> None:
    """Draw the queue anew and push it, when few texts are left for people."""
    from saring.cli.queue import run_build
    from saring.cli.sync_push import push_projects

    ctx = _context(self)
    renewed = renew_schedule(self.app, ctx.settings)
    if renewed:
        log.info("the settings changed when these are sent: %s", ", ".join(renewed))
    if not ctx.settings.queue_low:
        return
    with _only_one(ctx.engine, "refill") as alone:
        if not alone or not _runs_low(ctx.engine, ctx.settings.queue_low, datetime.now(UTC)):
            return
        with _label_studio(ctx) as client:
            try:
                projects = current_projects(ctx, client)
                report = run_build(ctx, QueueConfig(size=ctx.settings.queue_refill), progress=silent)
                done = push_projects(ctx, client, projects, None, silent)
                log.info("the queue ran low: %d texts were drawn, %d sent", report.drawn, sum(one.sent for one in done))
            except RunConflict as error:
                log.info("not refilled yet: %s", error)
            except LabelStudioMissing as error:
                log.info("no queue to fill: %s", error)


@shared_task(name="saring.reembed", bind=True, throws=_AWAY)
def reembed_job(self: Task, **_: object) -> None:
    """Where another encoder is wanted than the one in use, have the workers compute its vectors beside the others."""
    from saring.workers.reembed import plan_reembedding

    ctx = _context(self)
    with _only_one(ctx.engine, "reembed") as alone:
        found = plan_reembedding(ctx, now=datetime.now(UTC)) if alone else None
    if found is not None:
        run_id, numbers = found
        log.info("run %s embeds all texts with %s, beside what is in use", run_id, ctx.settings.encoder)
        send_shards(self.app, self.app.conf.saring, run_id, numbers)


@contextmanager
def _only_one(engine: Engine, job: str) -> Iterator[bool]:
    """Whether no other worker is at this job, none of which begins it meanwhile."""
    with engine.connect() as lock, lock.begin():
        key = {"key": lock_key("job", job)}
        yield lock.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), key).scalar_one()


def _why_due(ctx: common.Context) -> str | None:
    with open_session(ctx.engine) as session:
        news = news_since_training(session)
    return why_due(news, labels=ctx.settings.retrain_labels, hours=ctx.settings.retrain_hours, now=datetime.now(UTC))


def _runs_low(engine: Engine, low: int, now: datetime) -> bool:
    """Whether fewer than `low` texts wait for people, and no queue was drawn a moment ago."""
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
    """Those with open tasks that show what another champion than the present one predicted."""
    b, t = store.PredictionBatch, store.Task
    with open_session(engine) as session:
        champion = registry.champion(session, "sfw")
        shown = dict(session.execute(select(b.project_id, b.champion).where(b.state == "shown")).all())
        has_open = set(session.scalars(select(t.project_id).where(t.state == TaskState.OPEN).distinct()))
    now = champion.version if champion is not None else None
    return [one for one in projects if one.id in has_open and one.id in shown and shown[one.id] != now]


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


def _context(task: Task) -> common.Context:
    ctx: common.Context = task.app.conf.saring.context()
    return ctx


@contextmanager
def _label_studio(ctx: common.Context) -> Iterator[LabelStudio]:
    try:
        with connect(ctx) as client:
            yield client
    except LabelStudioError as error:
        # the schedule tries again; what was stored stays stored
        log.warning("%s", error)
