"""Runs: list them page by page, show one with its shards and its log, cancel one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import RunConflict, RunMissing
from pipeline.runs.book import cancel_run
from pipeline.runs.changes import RunLine, lines_of
from pipeline.runs.requests import Request, request_of_run
from pipeline.runs.watch import RunStatus, status
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from saring.actions.run_record import LeftOut, left_out
from saring.context import Context

#: stage of the runs that webhooks and the schedule start all day
PULL = "pull"
#: lines of a log that are read at once, and shards that are listed
_LOG_LINES, _SHARDS = 500, 200


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs of a list, newest first, with where the list goes on; None: it does not."""

    runs: Sequence[RunLine]
    #: ids: `before` of the page with older runs, and `after` of the one with newer runs
    older: int | None
    newer: int | None


@dataclass(frozen=True, slots=True)
class ShardLine:
    """A shard that is parked, or that failed and is tried again."""

    number: int
    state: str
    attempts: int
    worker: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a run's log."""

    id: int
    at: datetime
    level: str
    shard: int | None
    worker: str
    message: str

    @property
    def clock(self) -> str:
        """Day and time of the line in UTC, to the second."""
        return f"{self.at.astimezone(UTC):%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A run with all that a page shows of it."""

    run: RunStatus
    line: RunLine
    request: Request | None
    left_out: Sequence[LeftOut]
    #: parked shards and those with an error, 200 at most
    shards: Sequence[ShardLine]

    @property
    def parked(self) -> int:
        """Number of its parked shards."""
        return self.run.shards.get(ShardState.PARKED, 0)

    @property
    def can_resume(self) -> bool:
        """True where it is over, was on workers, and has shards that are not done."""
        return self.run.is_over and self.run.on_workers and (self.run.state is not RunState.DONE or self.parked > 0)

    @property
    def can_cancel(self) -> bool:
        """True where it is at work and nobody has asked to cancel it."""
        return not self.run.is_over and not self.line.stopping


def list_runs(
    session: Session,
    *,
    stage: str | None = None,
    state: str | None = None,
    before: int | None = None,
    after: int | None = None,
    limit: int = 50,
) -> RunPage:
    """A page of runs. Pulls that ended well are left out unless the stage or the state is named.

    Args:
        session: an open session.
        stage: only runs of this stage.
        state: only runs in this state.
        before: only runs with smaller ids.
        after: only runs with greater ids, the smallest of them; not together with `before`.
        limit: largest number of runs.
    """
    r = store.Run
    query = select(r.id)
    if stage is not None:
        query = query.where(r.stage == stage)
    if state is not None:
        query = query.where(r.state == state)
    if stage is None and state is None:
        query = query.where(~((r.stage == PULL) & (r.state == RunState.DONE)))
    if after is not None:
        ids = list(session.scalars(query.where(r.id > after).order_by(r.id).limit(limit + 1)))
        more = len(ids) > limit
        ids = sorted(ids[:limit], reverse=True)
        return RunPage(lines_of(session, ids), ids[-1] if ids else None, ids[0] if more else None)
    if before is not None:
        query = query.where(r.id < before)
    ids = list(session.scalars(query.order_by(r.id.desc()).limit(limit + 1)))
    more = len(ids) > limit
    ids = ids[:limit]
    return RunPage(lines_of(session, ids), ids[-1] if more else None, ids[0] if before is not None and ids else None)


def run_details(session: Session, run_id: int) -> RunDetails:
    """A run with its shards and what it left out.

    Raises:
        RunMissing: there is no such run.
    """
    run = status(session, run_id)
    s = store.Shard
    shards = session.execute(
        select(s.number, s.state, s.attempts, s.worker, s.error)
        .where(s.run_id == run_id, (s.state == ShardState.PARKED) | (s.error.is_not(None)))
        .order_by(s.state != ShardState.PARKED, s.number)
        .limit(_SHARDS)
    )
    [line] = lines_of(session, [run_id])
    return RunDetails(
        run,
        line,
        request_of_run(session, run_id),
        left_out(run.counts, run.result),
        [ShardLine(row.number, str(row.state), row.attempts, row.worker, row.error) for row in shards],
    )


def run_log(session: Session, run_id: int, *, after: int = 0) -> list[LogLine]:
    """The lines of a run's log after a line, oldest first; from the first on, the newest 500.

    Raises:
        RunMissing: there is no such run.
    """
    if session.get(store.Run, run_id) is None:
        raise RunMissing(f"there is no run {run_id}: see `saring runs list`")
    log = store.RunLog
    query = select(log.id, log.at, log.level, log.shard, log.worker, log.message).where(
        log.run_id == run_id, log.id > after
    )
    if after:
        return [LogLine(*row) for row in session.execute(query.order_by(log.id).limit(_LOG_LINES))]
    rows = session.execute(query.order_by(log.id.desc()).limit(_LOG_LINES)).all()
    return [LogLine(*row) for row in reversed(rows)]


def stages_with_runs(session: Session) -> list[str]:
    """Names of the stages that have runs, in alphabetical order; each is found by the index."""
    r = store.Run
    names: list[str] = []
    name = session.scalars(select(r.stage).order_by(r.stage).limit(1)).first()
    while name is not None:
        names.append(name)
        name = session.scalars(select(r.stage).where(r.stage > name).order_by(r.stage).limit(1)).first()
    return names


def cancel(home: Context, run_id: int) -> RunState:
    """Cancel a run, and return its state: a run in a single process stops when it next saves its work.

    Raises:
        RunMissing: there is no such run.
        RunConflict: it is over.
    """
    with home.begin() as session:
        if status(session, run_id).is_over:
            raise RunConflict(f"run {run_id} is over: there is nothing to cancel")
    return cancel_run(home.engine, run_id)
