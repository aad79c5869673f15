"""Status of a run, followed from another process by PostgreSQL's notifications."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import RunMissing, StoreUnavailable
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState

_CHANNEL = "saring_run"
#: seconds between two readings of the record: notifications may be lost with their connection
_LOOK_SECONDS = 2.0
#: failures to reach the database before the follower stops: about a minute
_MOST_FAILURES = 30


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Status of a run."""

    id: int
    stage: str
    slice: str
    state: RunState
    done: int
    total: int | None
    started_at: datetime
    heartbeat_at: datetime
    finished_at: datetime | None
    on_workers: bool
    params: dict[str, Any]
    counts: dict[str, Any]
    result: dict[str, Any] | None
    error: str | None
    #: shards by state, of a run on workers
    shards: dict[str, int]

    @property
    def is_over(self) -> bool:
        """True where the run has ended."""
        return self.state is not RunState.RUNNING


def status(session: Session, run_id: int) -> RunStatus:
    """Read the status of a run.

    Raises:
        RunMissing: there is no run with that number.
    """
    run = session.get(store.Run, run_id, populate_existing=True)
    if run is None:
        raise RunMissing(f"there is no run {run_id}: see `saring runs list`")
    s = store.Shard
    shards = session.execute(
        select(s.state, func.count()).where(s.run_id == run_id).group_by(s.state).order_by(s.state)
    ).all()
    return RunStatus(
        run.id,
        run.stage,
        run.slice,
        run.state,
        run.progress_done,
        run.progress_total,
        run.started_at,
        run.heartbeat_at,
        run.finished_at,
        run.on_workers,
        run.params,
        run.counts,
        run.result,
        run.error,
        {str(ShardState(state)): count for state, count in shards},
    )


def follow(engine: Engine, run_id: int) -> Iterator[RunStatus]:
    """Give the status of a run now and after each change, until it ends; wait for a database that cannot be reached.

    Raises:
        RunMissing: there is no run with that number.
        StoreUnavailable: the database could not be reached for about a minute.
    """
    failures = 0
    while True:
        try:
            for current in _follow(engine, run_id):
                failures = 0
                yield current
                if current.is_over:
                    return
        except (psycopg.OperationalError, StoreUnavailable) as error:
            failures += 1
            if failures >= _MOST_FAILURES:
                raise StoreUnavailable(
                    f"the database cannot be reached; run {run_id} continues when it can: "
                    f"`saring runs watch {run_id}` shows it again"
                ) from error
            time.sleep(_LOOK_SECONDS)


def _follow(engine: Engine, run_id: int) -> Iterator[RunStatus]:
    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True, connect_timeout=5) as listening:
        listening.execute(f"LISTEN {_CHANNEL}")
        while True:
            with open_session(engine) as session:
                yield status(session, run_id)
            # Several notifications at once are answered by one reading.
            wait = _LOOK_SECONDS
            for notice in listening.notifies(timeout=wait):
                if notice.payload == str(run_id):
                    break
