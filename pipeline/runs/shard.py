"""Work on one shard of a run, and the end of a run. Celery tasks call these functions; nothing here uses Celery."""

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
from pipeline.progress import Progress
from pipeline.runs import book
from pipeline.runs.record import current_shard, one_line
from pipeline.runs.run_logs import LoggedSteps, kept_log
from pipeline.runs.stage import Next, RunView, Stage, WorkContext
from pipeline.runs.values import Values, to_values
from pipeline.store.locks import held, lock_key
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState

log = logging.getLogger(__name__)

#: errors after which the same work may succeed soon; any other error would come again
WORTH_RETRYING = (
    StoreUnavailable,
    ServiceError,
    LabelStudioUnavailable,
    LlmUnavailable,
    RunConflict,
    httpx.TransportError,
    ConnectionError,
)
#: such errors of PostgreSQL: serialization failure, deadlock, lock timeout, too many connections, shutting down
_TEMPORARY = ("40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03")


class Outcome(enum.StrEnum):
    """Result of a message to do a shard."""

    DONE = "done"
    PARKED = "parked"
    #: the shard was done or parked before, or its run is over
    NOTHING = "nothing to do"
    #: another worker works on it
    ELSEWHERE = "elsewhere"
    CANCELLED = "cancelled"


def is_worth_retrying(error: BaseException) -> bool:
    """True where the same work may succeed soon."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _TEMPORARY
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
    """Do a shard of a run, if it is not done yet.

    An error of the work parks the shard. An error that is worth retrying is raised, unless this is the last attempt.

    Args:
        home: settings, taxonomy and store.
        stages: all stages by name.
        run_id: id of the run.
        number: number of the shard.
        again: True: the caller tries the same message again after an error.
        last: True: there will be no other attempt.

    Raises:
        StoreUnavailable: the database cannot be reached.
        Exception: any other error for which `is_worth_retrying` is true.
    """
    engine = home.engine
    with held(engine, shard_lock(run_id, number)) as connection:
        if connection is None:
            return Outcome.ELSEWHERE
        started = book.begin_shard(connection, run_id, number, worker=worker_name(), again=again)
        if started is None:
            return Outcome.PARKED if book.park_crashing(engine, run_id, number) else Outcome.NOTHING
        run = started.run
        stage = stages.get(run.stage)
        if stage is None:
            problem = f"this worker has no stage {run.stage!r}: its version of Saring is not the run's"
            book.park_shard(engine, run_id, number, problem)
            return Outcome.PARKED
        # What is logged of an error belongs to the run's log too.
        with current_shard(run_id, run.stage, run.slice, number), kept_log(engine, run_id, number):
            try:
                log.debug("shard %s of run %s begins", number, run_id)
                counts = stage.work(home, run, started.part, ShardStep(run_id))
            except RunCancelled:
                return Outcome.CANCELLED
            except Exception as error:
                if is_worth_retrying(error) and not last:
                    log.warning("shard %s of run %s will be tried again: %s", number, run_id, one_line(error))
                    if not isinstance(error, StoreUnavailable):
                        book.note_error(engine, run_id, number, one_line(error))
                    raise
                log.error("shard %s of run %s is parked: %s", number, run_id, one_line(error))  # noqa: TRY400 - may quote rows
                log.debug("the error of shard %s of run %s", number, run_id, exc_info=error)
                book.park_shard(engine, run_id, number, one_line(error))
                return Outcome.PARKED
        is_first = book.finish_shard(connection, run_id, number, counts, in_shards=stage.in_shards)
        return Outcome.DONE if is_first else Outcome.NOTHING


def finish_run(home: WorkContext, stages: Mapping[str, Stage[Any, Any]], run_id: int) -> list[int]:
    """End a run if all its shards are done or parked: combine their results.

    Returns:
        Numbers of the shards to send next, if the stage has more work.

    Raises:
        StoreUnavailable: the database cannot be reached.
        Exception: any other error for which `is_worth_retrying` is true.
    """
    engine = home.engine
    with held(engine, lock_key("reduce", str(run_id))) as connection:
        if connection is None:
            return []
        # What is logged of the end belongs to the run's log too.
        with current_shard(run_id, "", "", None), kept_log(engine, run_id, None, at_end=True):
            try:
                with open_session(engine) as session, session.begin():
                    settled = book.settled(session, run_id)
                    if settled is None:
                        return []
                    run, counts = settled
                    result = _reduced(home, stages[run.stage], session, run, counts)
                    if isinstance(result, Next):
                        return book.add_next_shards(session, run_id, result)
                    note = book.parked_note(session, run_id)
                    if note is not None:
                        result |= {"parked": run.parked}
                    book.end_run(session, run_id, RunState.DONE, result=result, error=note)
            except Exception as error:
                if is_worth_retrying(error):
                    raise
                log.error("run %s failed: %s", run_id, one_line(error))  # noqa: TRY400 - may quote rows
                log.debug("the error of run %s", run_id, exc_info=error)
                with open_session(engine) as session, session.begin():
                    book.end_run(session, run_id, RunState.FAILED, result=None, error=one_line(error))
                return []
            if note is not None:
                log.warning("run %s: %s", run_id, note)
        return []


def _reduced(
    home: WorkContext, stage: Stage[Any, Any], session: Session, run: RunView, counts: Values
) -> Values | Next:
    """The plain values of the run's report, or the next work."""
    with current_shard(run.id, run.stage, run.slice, None):
        outcome = stage.reduce(home, session, run, counts)
    if isinstance(outcome, Next):
        return outcome
    values: Values = to_values(outcome)
    return values


class ShardStep:
    """The count of a shard's finished work on a worker; see `Step`."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._logged = LoggedSteps()

    @property
    def progress(self) -> Progress:
        """The function that logs the steps within the shard; `saring runs watch` reads the run's record."""
        return self._logged

    def __call__(self, session: Session, units: int, note: str = "") -> None:  # noqa: ARG002 - for a progress bar
        """Count units as finished, in the transaction that holds their results."""
        book.step(session, self._run_id, units)


def worker_name() -> str:
    """The name of this process for people: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def shard_lock(run_id: int, number: int) -> int:
    """The key of the advisory lock that a worker holds while it works on a shard."""
    return lock_key(f"shard {run_id}", str(number))
