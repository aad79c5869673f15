"""Search for lost work: the broker lost its message, its worker crashed, or the process that sends it crashed."""

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

#: a shard that was started a moment ago may have its record but not its lock yet
_GRACE = timedelta(seconds=5)
#: limit of the doublings of the time before a shard is sent again: a queue may be long
_MOST_DOUBLINGS = 6
#: a single process without a heartbeat for so long, and without a lock, has died
_SILENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Lost:
    """Lost work: runs and shards to send again."""

    #: numbers of lost shards, by run
    shards: Mapping[int, Sequence[int]]
    #: runs whose shards are all done or parked, and that have not ended
    unfinished: Sequence[int]
    #: runs of single processes that died; the same command continues them
    died: Sequence[int]


def find_lost(engine: Engine, *, now: datetime, resend_after: timedelta) -> Lost:
    """Find the lost shards of running runs, and mark them as sent again.

    A shard whose worker died is lost at once. A waiting shard may be far back in the queue: it is lost when its run
    made no progress for `resend_after`. That time doubles each time the shard is sent again.

    Args:
        engine: the store.
        now: the time.
        resend_after: time without progress in a run.
    """
    shards: dict[int, list[int]] = defaultdict(list)
    unfinished: list[int] = []
    r = store.Run
    with open_session(engine) as session, session.begin():
        runs = session.scalars(select(r).where(r.state == RunState.RUNNING, r.on_workers).order_by(r.id)).all()
        for run in runs:
            lost, open_shards = _lost_of(session, run, now, resend_after)
            shards[run.id].extend(lost)
            if not open_shards and now - run.heartbeat_at > _GRACE:
                unfinished.append(run.id)
        died = _died(session, now)
    return Lost({run: numbers for run, numbers in shards.items() if numbers}, unfinished, died)


def _lost_of(session: Session, run: store.Run, now: datetime, resend_after: timedelta) -> tuple[list[int], int]:
    """The lost shards of a run, and the number of shards that are neither done nor parked."""
    s = store.Shard
    open_shards = session.scalars(
        select(s).where(s.run_id == run.id, s.state.in_((ShardState.WAITING, ShardState.RUNNING))).order_by(s.number)
    ).all()
    lost = []
    for shard in open_shards:
        if shard.state is ShardState.RUNNING:
            is_lost = now - (shard.started_at or now) > _GRACE and is_free(session, shard_lock(run.id, shard.number))
        else:
            wait = resend_after * 2 ** min(max(shard.sends - 1, 0), _MOST_DOUBLINGS)
            is_lost = now - (shard.sent_at or run.started_at) > wait and now - run.heartbeat_at > resend_after
        if is_lost:
            lost.append(shard.number)
    if lost:
        session.execute(
            update(s)
            .where(s.run_id == run.id, s.number.in_(lost))
            .values(state=ShardState.WAITING, sends=s.sends + 1, sent_at=now)
        )
    return lost, len(open_shards)


def _died(session: Session, now: datetime) -> list[int]:
    """Mark runs of single processes that died as failed, and return their ids."""
    r = store.Run
    silent = session.scalars(
        select(r).where(r.state == RunState.RUNNING, ~r.on_workers, r.heartbeat_at < now - _SILENCE)
    ).all()
    died = [run for run in silent if is_free(session, lock_key(run.stage, run.slice))]
    for run in died:
        run.state, run.error, run.finished_at = RunState.FAILED, "the process ended without finishing", now
    return [run.id for run in died]
