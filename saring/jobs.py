"""The jobs that workers carry out. Each is thin: it makes its context, calls what a command calls, and logs a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from celery import shared_task
from sqlalchemy import Engine, func, select, text, update

from pipeline import store
from pipeline.errors import LabelStudioError, LabelStudioMissing, NotEnoughLabels, RunConflict
from pipeline.learning import registry
from pipeline.learning.train import TrainConfig
from pipeline.progress import silent
from pipeline.runs import lock_key
from pipeline.store.loop import TaskState
from pipeline.store.session import open_session
from saring.cli import common
from saring.cli.label_studio import connect, current_projects
from sync.client import LabelStudio

log = logging.getLogger(__name__)

#: what Label Studio's training button sends
TRAINING_BUTTON = "START_TRAINING"


@shared_task(name="saring.pull")
def pull_job(**_: object) -> None:
    """Bring home what changed in Label Studio, and ask for another rater where raters disagree."""
    from sync.pull import pull
    from sync.review import request_reviews

    with _context() as ctx, _label_studio(ctx) as client:
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


@shared_task(name="saring.reconcile")
def reconcile_job(**_: object) -> None:
    """Compare every annotation with the ledger, and repair."""
    from sync.reconcile import reconcile

    with _context() as ctx, _label_studio(ctx) as client:
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


@shared_task(name="saring.predict_ahead")
def predict_ahead_job(**_: object) -> None:
    """Write the open tasks' predictions anew and show them, where another champion wrote those that are shown."""
    from saring.cli.sync_push import predict_projects

    with _context() as ctx, _label_studio(ctx) as client:
        try:
            outdated = _outdated(ctx.engine, current_projects(ctx, client))
            if outdated:
                done = predict_projects(ctx, client, outdated, silent)
                log.info("predictions written ahead: %s", done)
        except RunConflict:
            log.info("predictions are being written already")
        except LabelStudioMissing as error:
            log.info("no predictions to write: %s", error)


@shared_task(name="saring.retrain")
def retrain_job(**_: object) -> None:
    """Retrain if the training button was pressed since the last time; many presses are one retraining."""
    from saring.cli.stages import train_from_store

    with _context() as ctx, _only_one(ctx.engine, "retrain") as alone:
        if not alone:
            log.info("not retrained yet: a retraining is under way")
            return
        # asked for now that the one before has said which it saw to
        asked = _waiting_requests(ctx.engine)
        if not asked:
            return
        config = TrainConfig(taxonomy_version=ctx.taxonomy.version, seed=ctx.settings.seed)
        promoted = False
        known = _newest_judgement(ctx.engine)
        try:
            done = train_from_store(ctx, config, None, progress=silent)
            promoted = done.promoted
            log.info("retrained: %s, %s", done.report.model.manifest.version, done.verdict)
        except NotEnoughLabels as error:
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
        predict_ahead_job()


@contextmanager
def _only_one(engine: Engine, job: str) -> Iterator[bool]:
    """Whether no other worker is at this job, none of which begins it meanwhile."""
    with engine.connect() as lock, lock.begin():
        key = {"key": lock_key("job", job)}
        yield lock.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), key).scalar_one()


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


@contextmanager
def _context() -> Iterator[common.Context]:
    ctx = common.context()
    try:
        yield ctx
    finally:
        ctx.engine.dispose()


@contextmanager
def _label_studio(ctx: common.Context) -> Iterator[LabelStudio]:
    try:
        with connect(ctx) as client:
            yield client
    except LabelStudioError as error:
        # the schedule tries again; what was stored stays stored
        log.warning("%s", error)
