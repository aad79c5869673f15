"""Finding work that was lost on the way: its broker forgot it, its worker died, or whoever sent it did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.runs.shard import shard_lock
from pipeline.store.locks import is_free, lock_key
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState

#: a shard that was begun a moment ago may be between its record and its lock
_GRACE = timedelta(seconds=5)
#: a shard is sent again at most so rarely, and so often: a queue may be long
_MOST_DOUBLINGS = 6
#: a process that says nothing for so long, and holds no lock, is no more
_SILENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Lost:
    """What has to be sent again."""

    #: shards by run
    shards: Mapping[int, Sequence[int]]
    #: runs whose shards are all settled, and which nobody has put together
    unfinished: Sequence[int]
    #: runs of single processes that died; they wait for the same command
    died: Sequence[int]


def find_lost(engine: Engine, *, now: datetime, patience: timedelta) -> Lost:
    """Look through the runs that are under way; shards found lost are marked as sent again.

    A shard whose worker is no more is lost at once. One that waits may just be far back in the queue: it is lost when
    nothing happened in its run for `patience`, and each time that it is sent again, it is given twice as long.

    Args:
        engine: the store.
        now: the store's clock, as good as this process knows it.
        patience: how long nothing may happen.
    """
    shards: dict[int, list[int]] = defaultdict(list)
    unfinished: list[int] = []
    r = store.Run
    with open_session(engine) as session, session.begin():
        runs = session.scalars(select(r).where(r.state == RunState.RUNNING, r.on_workers).order_by(r.id)).all()
        for run in runs:
            found, open_ones = _lost_of(session, run, now, patience)
            shards[run.id].extend(found)
            if not open_ones and now - run.heartbeat_at > _GRACE:
                unfinished.append(run.id)
        died = _died(session, now)
    return Lost({run: numbers for run, numbers in shards.items() if numbers}, unfinished, died)


def _lost_of(session: Session, run: store.Run, now: datetime, patience: timedelta) -> tuple[list[int], int]:
    """The lost shards of a run, and how many are not settled."""
    s = store.Shard
    open_ones = session.scalars(
        select(s).where(s.run_id == run.id, s.state.in_((ShardState.WAITING, ShardState.RUNNING))).order_by(s.number)
    ).all()
    lost = []
    for shard in open_ones:
        if shard.state is ShardState.RUNNING:
            is_lost = now - (shard.started_at or now) > _GRACE and is_free(session, shard_lock(run.id, shard.number))
        else:
            wait = patience * 2 ** min(max(shard.sends - 1, 0), _MOST_DOUBLINGS)
            is_lost = now - (shard.sent_at or run.started_at) > wait and now - run.heartbeat_at > patience
        if is_lost:
            lost.append(shard.number)
    if lost:
        session.execute(
            update(s)
            .where(s.run_id == run.id, s.number.in_(lost))
            .values(state=ShardState.WAITING, sends=s.sends + 1, sent_at=now)
        )
    return lost, len(open_ones)


def _died(session: Session, now: datetime) -> list[int]:
    """Mark runs of single processes that are no more."""
    r = store.Run
    silent = session.scalars(
        select(r).where(r.state == RunState.RUNNING, ~r.on_workers, r.heartbeat_at < now - _SILENCE)
    ).all()
    died = [run for run in silent if is_free(session, lock_key(run.stage, run.slice))]
    for run in died:
        run.state, run.error, run.finished_at = RunState.FAILED, "the process ended without finishing", now
    return [run.id for run in died]
