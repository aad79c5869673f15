"""The state of runs at work, and of those that just ended, in three short queries however many people look on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, or_, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState

#: runs that the first look reads beside those at work: about a page of the list
_FIRST = 100
_MOST = 500


@dataclass(frozen=True, slots=True)
class RunLine:
    """The state of a run, as a list shows it."""

    id: int
    stage: str
    slice: str
    state: str
    done: int
    total: int | None
    started_at: datetime
    finished_at: datetime | None
    on_workers: bool
    #: True: somebody asked to cancel it, and it has not stopped yet
    stopping: bool
    error: str | None
    #: shards by state, of a run on workers
    shards: dict[str, int] = field(default_factory=dict)
    #: number of the last line of its log; 0: it has none
    log: int = 0

    @property
    def is_over(self) -> bool:
        """True where the run has ended."""
        return self.state != RunState.RUNNING

    def values(self) -> dict[str, Any]:
        """Plain values, with times in ISO 8601."""
        times = {"started_at": self.started_at, "finished_at": self.finished_at}
        return asdict(self) | {name: at.isoformat() if at is not None else None for name, at in times.items()}


def read_lines(engine: Engine, known: Collection[int], newest: int | None) -> list[RunLine]:
    """The runs at work, those that are known, and those that began since, oldest first.

    Args:
        engine: the store.
        known: ids of runs to read whatever their state.
        newest: the greatest id that was read before; None: this is the first look, which reads the newest runs.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    r = store.Run
    with open_session(engine) as session:
        if newest is None:
            newest = (session.scalar(select(func.max(r.id))) or 0) - _FIRST
        ids = session.scalars(
            select(r.id)
            .where(or_(r.state == RunState.RUNNING, r.id == func.any(sorted(known)), r.id > newest))
            .order_by(r.id.desc())
            .limit(_MOST)
        ).all()
        return lines_of(session, ids)[::-1]


def lines_of(session: Session, ids: Sequence[int]) -> list[RunLine]:
    """The state of these runs, newest first; those that do not exist are left out."""
    r, s, log = store.Run, store.Shard, store.RunLog
    shards: dict[int, dict[str, int]] = {}
    chosen = list(ids)
    counts = select(s.run_id, s.state, func.count()).where(s.run_id == func.any(chosen)).group_by(s.run_id, s.state)
    for run, state, count in session.execute(counts):
        shards.setdefault(run, {})[str(ShardState(state))] = count
    # The newest line of each run by the index, however long the logs are.
    last = select(func.max(log.id)).where(log.run_id == r.id).correlate(r).scalar_subquery()
    columns = (r.id, r.stage, r.slice, r.state, r.progress_done, r.progress_total, r.started_at, r.finished_at)
    rows = session.execute(
        select(*columns, r.on_workers, r.cancel_asked_at, r.error, last.label("log"))
        .where(r.id == func.any(chosen))
        .order_by(r.id.desc())
    )
    return [
        RunLine(
            id=row.id,
            stage=row.stage,
            slice=row.slice,
            state=str(row.state),
            done=row.progress_done,
            total=row.progress_total,
            started_at=row.started_at,
            finished_at=row.finished_at,
            on_workers=row.on_workers,
            stopping=row.cancel_asked_at is not None and row.state is RunState.RUNNING,
            error=row.error,
            shards=shards.get(row.id, {}),
            log=row.log or 0,
        )
        for row in rows
    ]


def still_open(lines: Sequence[RunLine]) -> set[int]:
    """Ids of the runs that may still change."""
    return {line.id for line in lines if not line.is_over}
