"""Gauges for monitoring: numbers about the platform, read from the store in one short transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, Select, exists, func, select, text
from sqlalchemy.orm import Session, aliased

from pipeline.judgement import RaterKind
from pipeline.store.session import open_session
from pipeline.store.tables.core import Judgement, Model, ModelState, Rater, Run, RunState
from pipeline.store.tables.human_loop import (
    Event,
    Project,
    ProjectState,
    QueueItem,
    QueueState,
    SyncCursor,
    Task,
    TaskState,
)
from pipeline.store.tables.work import Shard, ShardState


@dataclass(frozen=True, slots=True)
class ProjectRef:
    """An open Label Studio project: its id in the store, and its id in Label Studio."""

    id: int
    label_studio_id: int


@dataclass(frozen=True, slots=True)
class Gauges:
    """The store at one moment, by the database's clock."""

    #: version of the champion of each purpose
    champions: Mapping[str, str]
    #: texts that wait to be pushed
    queued: int
    #: tasks in Label Studio that nobody has answered
    open_tasks: int
    #: events that no job has handled
    waiting_events: int
    #: seconds since all changes of a project were last known to be in the ledger; None: it was never pulled
    sync_lag: Mapping[ProjectRef, float | None]
    #: runs by stage and state
    runs: Mapping[tuple[str, str], int]
    #: seconds since the oldest of the last heartbeats of running runs; 0 where none is running
    silence: float
    #: parked shards of each stage's last run on its slice
    parked_shards: int
    #: judgements by people, corrections and withdrawals included
    human_judgements: int
    #: seconds since the newest model of each purpose was made
    model_age: Mapping[str, float] = field(default_factory=dict)


def read_gauges(engine: Engine, *, seconds: float) -> Gauges:
    """Read all gauges.

    Args:
        engine: the store.
        seconds: the longest time of one query.

    Raises:
        StoreUnavailable: the database cannot be reached.
        SQLAlchemyError: the database does not answer in time, or has another schema.
    """
    e, m, q, t = Event, Model, QueueItem, Task
    with open_session(engine) as session:
        limit = text("SELECT set_config('statement_timeout', :limit, true)")
        session.execute(limit, {"limit": f"{seconds * 1000:.0f}ms"})
        now: datetime = session.execute(select(func.now())).scalar_one()
        champions = session.execute(select(m.purpose, m.version).where(m.state == ModelState.CHAMPION)).all()
        made = session.execute(select(m.purpose, func.max(m.created_at)).group_by(m.purpose)).all()
        states = session.execute(select(Run.stage, Run.state, func.count()).group_by(Run.stage, Run.state)).all()
        silent = session.scalar(select(func.min(Run.heartbeat_at)).where(Run.state == RunState.RUNNING))
        return Gauges(
            champions=dict(champions),
            queued=_count(session, select(func.count()).where(q.state == QueueState.QUEUED)),
            open_tasks=_count(session, select(func.count()).where(t.state == TaskState.OPEN)),
            waiting_events=_count(session, select(func.count()).where(e.handled_at.is_(None))),
            sync_lag=sync_lag(session, now),
            runs={(stage, str(state)): count for stage, state, count in states},
            silence=_seconds(now, silent) if silent is not None else 0.0,
            parked_shards=_count(session, _parked()),
            human_judgements=_count(session, _by_people()),
            model_age={purpose: _seconds(now, at) for purpose, at in made},
        )


def sync_lag(session: Session, now: datetime) -> dict[ProjectRef, float | None]:
    """Seconds since all changes of each open project were last known to be in the ledger; None: it was never pulled."""
    c, p = SyncCursor, Project
    # A pull and a reconciliation both note when they last saw that nothing is missing.
    seen = func.greatest(c.looked_at, c.reconciled_at)
    query = select(p.id, p.label_studio_id, seen).join_from(p, c, c.project_id == p.id, isouter=True)
    rows = session.execute(query.where(p.state == ProjectState.OPEN)).all()
    return {ProjectRef(ours, theirs): _seconds(now, at) if at is not None else None for ours, theirs, at in rows}


def _parked() -> Select[int]:
    later = aliased(Run)
    superseded = exists().where(later.stage == Run.stage, later.slice == Run.slice, later.id > Run.id)
    parked = select(func.count()).select_from(Shard).join(Run, Run.id == Shard.run_id)
    return parked.where(Shard.state == ShardState.PARKED, Run.state != RunState.CANCELLED, ~superseded)


def _by_people() -> Select[int]:
    # Counted for each person, because an index answers that; most judgements are by machines.
    judgements = select(func.count()).where(Judgement.rater_id == Rater.id).correlate(Rater).scalar_subquery()
    return select(func.coalesce(func.sum(judgements), 0)).where(Rater.kind == RaterKind.HUMAN)


def _count(session: Session, query: Select[int]) -> int:
    return int(session.execute(query).scalar_one())


def _seconds(now: datetime, then: datetime) -> float:
    # The other clock may be a little ahead.
    return max(0.0, (now - then).total_seconds())
