"""States of runs on workers and of their shards. Each change is one transaction, and safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import RunCancelled, RunMissing
from pipeline.runs.record import code_version, refuse_beside_workers, stage_lock
from pipeline.runs.stage import Next, Part, Plan, RunView
from pipeline.runs.values import Values, add_up, to_values
from pipeline.store.session import open_session
from pipeline.store.spans import Span
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState

#: attempts after which a shard that never finishes is parked: it probably crashes its workers
MOST_ATTEMPTS = 6
_SETTLED = (ShardState.DONE, ShardState.PARKED)
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class StartedShard:
    """A shard that this worker has to do."""

    run: RunView
    part: Part


def open_run(
    engine: Engine, stage: str, plan: Plan, *, also: Callable[[Session, int], None] = lambda _session, _run: None
) -> tuple[int, list[int]]:
    """Record a run on workers with its shards, and return its id and the numbers of the shards to send.

    If the stage's last run on the slice had the same parameters, was on workers, and was cancelled or failed, that run
    continues.

    Args:
        engine: the store.
        stage: name of the stage.
        plan: the division of its work.
        also: called with the run's id in the transaction that opens it.

    Raises:
        RunConflict: the stage is already running on the slice.
    """
    params = to_values(plan.params)
    # A run in a single process holds this lock.
    with stage_lock(engine, stage, plan.slice), open_session(engine) as session, session.begin():
        refuse_beside_workers(session, stage, plan.slice)
        r = store.Run
        last = session.scalars(
            select(r).where(r.stage == stage, r.slice == plan.slice).order_by(r.id.desc()).limit(1)
        ).first()
        if last is not None and last.state is RunState.RUNNING:
            # Nobody holds the lock, so its process has died.
            last.state, last.error = RunState.FAILED, "the process ended without finishing"
            last.finished_at = datetime.now(UTC)
        resumes = (
            last is not None
            and last.on_workers
            and last.state in (RunState.CANCELLED, RunState.FAILED)
            and last.params == params
        )
        if resumes:
            assert last is not None
            also(session, last.id)
            return last.id, _reopen(session, last.id)
        run = store.Run(
            stage=stage,
            slice=plan.slice,
            state=RunState.RUNNING,
            params=params,
            progress_total=len(plan.parts) if plan.total is None else plan.total,
            checkpoint=to_values(plan.prepared),
            code_version=code_version(),
            on_workers=True,
        )
        session.add(run)
        session.flush()
        also(session, run.id)
        return run.id, _add_shards(session, run.id, plan.parts, 0)


def add_next_shards(session: Session, run_id: int, following: Next) -> list[int]:
    """Add a run's next shards in the caller's transaction, and return their numbers."""
    s, r = store.Shard, store.Run
    first = session.execute(select(func.count()).select_from(s).where(s.run_id == run_id)).scalar_one()
    more = len(following.parts) if following.total is None else following.total
    session.execute(
        update(r)
        .where(r.id == run_id)
        .values(
            checkpoint=to_values(following.prepared), progress_total=r.progress_total + more, heartbeat_at=func.now()
        )
    )
    return _add_shards(session, run_id, following.parts, first)


def _add_shards(session: Session, run_id: int, parts: Sequence[Part], first: int) -> list[int]:
    rows = [
        store.Shard(
            run_id=run_id,
            number=number,
            lower=part.span.lower,
            upper=part.span.upper,
            args=part.args,
            state=ShardState.WAITING,
            sends=1,
            sent_at=datetime.now(UTC),
        )
        for number, part in enumerate(parts, start=first)
    ]
    session.add_all(rows)
    return [row.number for row in rows]


def reopen_run(engine: Engine, run_id: int) -> list[int]:
    """Continue a run on workers with its parked and unfinished shards, and return their numbers.

    Raises:
        RunMissing: there is no run with that number, or it is not on workers.
        RunConflict: its stage is already running on its slice.
    """
    with open_session(engine) as session:
        run = session.get(store.Run, run_id)
    if run is None:
        raise RunMissing(f"there is no run {run_id}: see `saring runs list`")
    if not run.on_workers:
        raise RunMissing(f"run {run_id} was not on workers: run its command again to continue it")
    with stage_lock(engine, run.stage, run.slice), open_session(engine) as session, session.begin():
        refuse_beside_workers(session, run.stage, run.slice)
        return _reopen(session, run_id)


def _reopen(session: Session, run_id: int) -> list[int]:
    r, s = store.Run, store.Shard
    session.execute(
        update(r)
        .where(r.id == run_id)
        .values(state=RunState.RUNNING, cancel_asked_at=None, error=None, finished_at=None, heartbeat_at=func.now())
    )
    numbers = session.scalars(
        update(s)
        .where(s.run_id == run_id, s.state != ShardState.DONE)
        .values(state=ShardState.WAITING, attempts=0, sends=1, sent_at=func.now(), error=None)
        .returning(s.number)
    )
    return sorted(numbers)


def cancel_run(engine: Engine, run_id: int) -> RunState:
    """Cancel a run, and return its state.

    A run on workers is cancelled at once, even if some of its shards still work. A run in a single process stops when
    it next saves.

    Raises:
        RunMissing: there is no run with that number.
    """
    with open_session(engine) as session, session.begin():
        run = session.get(store.Run, run_id, with_for_update=True)
        if run is None:
            raise RunMissing(f"there is no run {run_id}: see `saring runs list`")
        if run.state is RunState.RUNNING:
            run.cancel_asked_at = datetime.now(UTC)
            if run.on_workers:
                run.state, run.finished_at, run.error = RunState.CANCELLED, datetime.now(UTC), "cancelled"
        return run.state


#: each is one statement, because a shard may take only some milliseconds, and its records must not take longer
# Neither statement waits for the disk: where the database's machine loses its last half second, the shard is done
# again, and what its work wrote is there already.
_BEGIN = text("""
    WITH relaxed AS (SELECT set_config('synchronous_commit', 'off', true))
    UPDATE shard s
    SET state = 'running', worker = :worker, started_at = now(), attempts = s.attempts + :counted
    FROM run r, relaxed
    WHERE s.run_id = :run AND s.number = :number AND s.state NOT IN ('done', 'parked')
        AND r.id = s.run_id AND r.state = 'running' AND (:counted = 0 OR s.attempts < :most)
    RETURNING r.stage, r.slice, r.params, r.checkpoint, s.lower, s.upper, s.args
""")
_FINISH = text("""
    WITH relaxed AS (SELECT set_config('synchronous_commit', 'off', true)), done AS (
        UPDATE shard SET state = 'done', finished_at = now(), counts = CAST(:counts AS jsonb), error = NULL
        WHERE run_id = :run AND number = :number AND state NOT IN ('done', 'parked') RETURNING run_id
    )
    UPDATE run SET heartbeat_at = now(), progress_done = progress_done + :units
    FROM done, relaxed WHERE run.id = done.run_id
    RETURNING run.id
""")


def begin_shard(connection: Connection, run_id: int, number: int, *, worker: str, again: bool) -> StartedShard | None:
    """Start a shard; None if there is nothing to do.

    There is nothing to do where the shard is done or parked, its run is over, or it was started too often (see
    `park_crashing`).

    Args:
        connection: the connection that holds the shard's lock.
        run_id: id of the run.
        number: number of the shard.
        worker: name of the worker, for people.
        again: True: the same worker tries again after an error; the attempt is not counted.
    """
    values = {"run": run_id, "number": number, "worker": worker, "counted": int(not again), "most": MOST_ATTEMPTS}
    row = connection.execute(_BEGIN, values).one_or_none()
    if row is None:
        return None
    stage, part, params, prepared, lower, upper, args = row
    return StartedShard(RunView(run_id, stage, part, params, prepared), Part(Span(lower, upper), args))


def park_crashing(engine: Engine, run_id: int, number: int) -> bool:
    """Park a shard that was started too often and never finished; False if it was not."""
    with open_session(engine) as session, session.begin():
        shard = session.get(store.Shard, (run_id, number), with_for_update=True)
        if shard is None or shard.state in _SETTLED or shard.attempts < MOST_ATTEMPTS:
            return False
        run = session.get(store.Run, run_id)
        if run is None or run.state is not RunState.RUNNING:
            return False
        last = f"; last: {shard.error}" if shard.error else ""
        _park(session, shard, f"started {shard.attempts} times and never finished; it may crash its worker{last}")
        return True


def step(session: Session, run_id: int, units: int) -> None:
    """Add finished units to a run's progress, in the transaction that holds their results.

    Raises:
        RunCancelled: the run was cancelled.
    """
    r = store.Run
    alive = session.execute(
        update(r)
        .where(r.id == run_id, r.state == RunState.RUNNING)
        .values(progress_done=r.progress_done + units, heartbeat_at=func.now())
        .returning(r.id)
    ).first()
    if alive is None:
        raise RunCancelled(f"run {run_id} was cancelled or has ended")


def finish_shard(connection: Connection, run_id: int, number: int, counts: Values, *, in_shards: bool) -> bool:
    """Record that a shard is done; False if another worker did before, whose counts stay.

    Args:
        connection: the connection that holds the shard's lock; without it the shard may be another worker's.
        run_id: id of the run.
        number: number of the shard.
        counts: counts of the shard's results.
        in_shards: True: the run's progress is counted in shards, and not by `step`.
    """
    document = orjson.dumps(to_values(counts)).decode()
    values = {"run": run_id, "number": number, "counts": document, "units": int(in_shards)}
    return connection.execute(_FINISH, values).first() is not None


def note_error(engine: Engine, run_id: int, number: int, error: str) -> None:
    """Record the error of a shard that will be tried again."""
    with open_session(engine) as session, session.begin():
        s = store.Shard
        session.execute(
            update(s)
            .where(s.run_id == run_id, s.number == number, s.state.not_in(_SETTLED))
            .values(error=error[:_LONGEST_ERROR])
        )


def park_shard(engine: Engine, run_id: int, number: int, error: str) -> None:
    """Park a shard with its error; the rest of its run continues."""
    with open_session(engine) as session, session.begin():
        shard = session.get(store.Shard, (run_id, number), with_for_update=True)
        if shard is not None and shard.state not in _SETTLED:
            _park(session, shard, error)


def _park(session: Session, shard: store.Shard, error: str) -> None:
    shard.state, shard.finished_at = ShardState.PARKED, datetime.now(UTC)
    shard.error = error.replace("\0", "")[:_LONGEST_ERROR]
    r = store.Run
    session.execute(update(r).where(r.id == shard.run_id).values(heartbeat_at=func.now()))


def settled(session: Session, run_id: int) -> tuple[RunView, Values] | None:
    """The run with the sum of its shards' counts, if each shard is done or parked and the run has not ended."""
    run = session.get(store.Run, run_id, with_for_update=True)
    if run is None or run.state is not RunState.RUNNING or not run.on_workers:
        return None
    s = store.Shard
    rows = session.execute(select(s.state, s.counts).where(s.run_id == run_id).order_by(s.number)).all()
    if any(state not in _SETTLED for state, _ in rows):
        return None
    parked = sum(state is ShardState.PARKED for state, _ in rows)
    view = RunView(run.id, run.stage, run.slice, dict(run.params), dict(run.checkpoint), parked)
    return view, add_up([counts for _, counts in rows])


def end_run(session: Session, run_id: int, state: RunState, *, result: Values | None, error: str | None) -> None:
    """Record the end of a run on workers, in the transaction that holds its decisions."""
    r = store.Run
    values: dict[str, Any] = {"state": state, "error": error, "finished_at": func.now(), "heartbeat_at": func.now()}
    if result is not None:
        values |= {"result": result, "progress_done": func.coalesce(r.progress_total, r.progress_done)}
    session.execute(update(r).where(r.id == run_id, r.state == RunState.RUNNING).values(**values))


def parked_note(session: Session, run_id: int) -> str | None:
    """A sentence about the parked shards of a run and what to do about them; None if no shard is parked."""
    s = store.Shard
    rows = session.execute(
        select(s.number, s.error).where(s.run_id == run_id, s.state == ShardState.PARKED).order_by(s.number)
    ).all()
    if not rows:
        return None
    total = session.execute(select(func.count()).select_from(s).where(s.run_id == run_id)).scalar_one()
    number, error = rows[0]
    return (
        f"{len(rows)} of {total} shards {'is' if len(rows) == 1 else 'are'} parked; shard {number} failed with "
        f"{error}. Fix this, then run `saring runs resume {run_id}`"
    )
