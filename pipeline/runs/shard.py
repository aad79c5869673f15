"""Doing one shard of a run, and putting a run's shards together. What a Celery task calls, and nothing of Celery."""

from __future__ import annotations

import enum
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

import httpx
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from pipeline.errors import (
    LabelStudioUnavailable,
    LlmUnavailable,
    RunCancelled,
    RunConflict,
    ServiceError,
    StoreUnavailable,
)
from pipeline.progress import Progress, silent
from pipeline.runs import book
from pipeline.runs.record import current_shard, one_line
from pipeline.runs.run_logs import kept_log
from pipeline.runs.stage import Next, RunView, Stage, WorkContext
from pipeline.runs.values import Values, to_values
from pipeline.store.locks import held, lock_key
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState

log = logging.getLogger(__name__)

#: what may well go better in a moment; anything else goes wrong the same way again
WORTH_RETRYING = (
    StoreUnavailable,
    ServiceError,
    LabelStudioUnavailable,
    LlmUnavailable,
    RunConflict,
    httpx.TransportError,
    ConnectionError,
)
#: PostgreSQL's own: serialization failure, deadlock, no lock in time, too many connections, shutting down
_PASSING = ("40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03")


class Outcome(enum.StrEnum):
    """What came of a message that said: do this shard."""

    DONE = "done"
    PARKED = "parked"
    #: settled before, or its run is over
    NOTHING = "nothing to do"
    #: another worker has it in hand
    ELSEWHERE = "elsewhere"
    CANCELLED = "cancelled"


def is_worth_retrying(error: BaseException) -> bool:
    """Whether the same work may succeed in a moment."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _PASSING
    return isinstance(error, WORTH_RETRYING)


def run_shard(
    home: WorkContext,
    stages: Mapping[str, Stage[Any, Any]],
    run_id: int,
    number: int,
    *,
    again: bool = False,
    last: bool = False,
) -> Outcome:
    """Do a shard of a run, whatever happened to it before.

    An error of the work parks the shard; one that is worth retrying goes on to the caller, unless this is the last try.

    Args:
        home: what to work with.
        stages: those that may be spread, by name.
        run_id: whose shard.
        number: which.
        again: the caller's orderly second try of the same message.
        last: there will be no other try.

    Raises:
        StoreUnavailable: the store went away.
        Exception: anything else for which `is_worth_retrying`.
    """
    engine = home.engine
    with held(engine, shard_lock(run_id, number)) as mine:
        if mine is None:
            return Outcome.ELSEWHERE
        begun = book.begin_shard(mine, run_id, number, worker=worker_name(), again=again)
        if begun is None:
            return Outcome.PARKED if book.park_deadly(engine, run_id, number) else Outcome.NOTHING
        run = begun.run
        stage = stages.get(run.stage)
        if stage is None:
            why = f"this worker knows no stage {run.stage!r}: its code is older or newer than the run's"
            book.park_shard(engine, run_id, number, why)
            return Outcome.PARKED
        try:
            with current_shard(run_id, run.stage, run.slice, number), kept_log(engine, run_id, number):
                log.debug("shard %s of run %s begins", number, run_id)
                counts = stage.work(home, run, begun.part, ShardStep(run_id))
        except RunCancelled:
            return Outcome.CANCELLED
        except Exception as error:
            if is_worth_retrying(error) and not last:
                log.warning("shard %s of run %s will be tried again: %s", number, run_id, one_line(error))
                if not isinstance(error, StoreUnavailable):
                    book.note_trouble(engine, run_id, number, one_line(error))
                raise
            log.error("shard %s of run %s is parked: %s", number, run_id, one_line(error))  # noqa: TRY400 - may quote rows
            log.debug("what happened", exc_info=error)
            book.park_shard(engine, run_id, number, one_line(error))
            return Outcome.PARKED
        done = book.finish_shard(mine, run_id, number, counts, in_shards=stage.in_shards)
        return Outcome.DONE if done else Outcome.NOTHING


def finish_run(home: WorkContext, stages: Mapping[str, Stage[Any, Any]], run_id: int) -> list[int]:
    """Put a run's shards together, if all are settled and nobody has; the shards that are to be sent next, if the
    stage has more to do.

    Raises:
        StoreUnavailable: the store went away.
        Exception: anything else for which `is_worth_retrying`.
    """
    engine = home.engine
    with held(engine, lock_key("reduce", str(run_id))) as mine:
        if mine is None:
            return []
        try:
            with open_session(engine) as session, session.begin():
                found = book.settled(session, run_id)
                if found is None:
                    return []
                run, counts = found
                result = _reduced(home, stages[run.stage], session, run, counts)
                if isinstance(result, Next):
                    return book.go_on(session, run_id, result)
                note = book.parked_note(session, run_id)
                if note is not None:
                    result |= {"parked": run.parked}
                book.end_run(session, run_id, RunState.DONE, result=result, error=note)
        except Exception as error:
            if is_worth_retrying(error):
                raise
            log.error("run %s failed: %s", run_id, one_line(error))  # noqa: TRY400 - may quote rows
            log.debug("what happened", exc_info=error)
            with open_session(engine) as session, session.begin():
                book.end_run(session, run_id, RunState.FAILED, result=None, error=one_line(error))
            return []
    if note is not None:
        log.warning("run %s: %s", run_id, note)
    return []


def _reduced(
    home: WorkContext, stage: Stage[Any, Any], session: Session, run: RunView, counts: Values
) -> Values | Next:
    """The plain values of the run's report, or the work that comes next."""
    with current_shard(run.id, run.stage, run.slice, None), kept_log(home.engine, run.id, None):
        outcome = stage.reduce(home, session, run, counts)
    if isinstance(outcome, Next):
        return outcome
    values: Values = to_values(outcome)
    return values


class ShardStep:
    """Counts the finished work of a shard on a worker; see `Step`."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id

    @property
    def progress(self) -> Progress:
        """Silent: followers read the run's record."""
        return silent

    def __call__(self, session: Session, units: int, note: str = "") -> None:  # noqa: ARG002 - for a progress bar
        """Count units in the transaction that holds them."""
        book.step(session, self._run_id, units)


def worker_name() -> str:
    """This process, for people: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def shard_lock(run_id: int, number: int) -> int:
    """The advisory lock that a worker holds while it has a shard in hand."""
    return lock_key(f"shard {run_id}", str(number))
