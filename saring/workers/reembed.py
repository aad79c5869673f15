"""The start of embedding all texts again, in the background, when the settings name another encoder."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import EncoderError, RunConflict, UsageError
from pipeline.runs.book import open_run
from pipeline.runs.record import code_version, one_line
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from pipeline.vectors.embed import EmbedParams, EmbedStage
from pipeline.vectors.encoders.make import space_name
from pipeline.vectors.spaces import active_space
from saring.context import Context

log = logging.getLogger(__name__)

#: time until an encoder that could not be used is tried again
_REST = timedelta(minutes=10)


def plan_reembedding(ctx: Context, *, now: datetime) -> tuple[int, list[int]] | None:
    """A run that computes the vectors of the wanted encoder, with the numbers of the shards to send.

    It is None if there is nothing to do. An encoder that can't be used leaves a failed run with the reason, and is
    tried again after some minutes. Until then the encoder in use stays.
    """
    try:
        wanted = space_name(ctx.settings.encoder)
    except UsageError as error:
        log.warning("%s", error)
        return None
    stage = EmbedStage()
    with open_session(ctx.engine) as session:
        active = active_space(session)
        if active is None or active == wanted or not _may_begin(session, stage.name, wanted, now):
            return None
    try:
        return open_run(ctx.engine, stage.name, stage.plan(ctx, EmbedParams()))
    except RunConflict as error:
        log.info("embedding with the new encoder has not started: %s", error)
    except (EncoderError, UsageError) as error:
        log.warning("%s", error)
        _record_failure(ctx.engine, stage.name, wanted, error, now)
    return None


def _may_begin(session: Session, stage: str, wanted: str, now: datetime) -> bool:
    r = store.Run
    last = session.scalars(select(r).where(r.stage == stage, r.slice == wanted).order_by(r.id.desc()).limit(1)).first()
    if last is None or (last.state is RunState.RUNNING and not last.on_workers):
        return True
    if last.state is RunState.RUNNING:
        return False
    # Somebody cancelled it on purpose; `saring runs resume` or `saring embed` continues it.
    if last.state is RunState.CANCELLED:
        return False
    return last.error is None or last.finished_at is None or last.finished_at < now - _REST


def _record_failure(engine: Engine, stage: str, wanted: str, error: Exception, now: datetime) -> None:
    with open_session(engine) as session, session.begin():
        session.add(
            store.Run(
                stage=stage,
                slice=wanted,
                state=RunState.FAILED,
                params={},
                error=one_line(error),
                code_version=code_version(),
                started_at=now,
                finished_at=now,
            )
        )
