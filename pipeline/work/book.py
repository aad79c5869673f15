"""The states of runs on workers and of their shards. Each change is one transaction, and safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import RunCancelled, RunMissing
from pipeline.runs import code_version, refuse_beside_workers, stage_lock
from pipeline.store.models import RunState
from pipeline.store.session import open_session
from pipeline.store.spans import Span
from pipeline.store.work import ShardState
from pipeline.work.stage import Next, Part, Plan, RunView, Values

#: a shard that was begun so often and never came to an end kills its workers
MOST_DEATHS = 6
_SETTLED = (ShardState.DONE, ShardState.PARKED)
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Begun:
    """A shard that is this worker's to do."""

    run: RunView
    part: Part


def open_run(engine: Engine, stage: str, plan: Plan) -> tuple[int, list[int]]:
    """Record a run on workers with its shards; the run's id, and the numbers of the shards that are to be sent.

    If the last such run of the stage on the slice with the same parameters was cancelled or failed, that one goes on.

    Raises:
        RunConflict: the stage is at work on the slice already.
    """
    # whoever works in a process of its own holds this
    with stage_lock(engine, stage, plan.slice), open_session(engine) as session, session.begin():
        refuse_beside_workers(session, stage, plan.slice)
        r = store.Run
        last = session.scalars(
            select(r).where(r.stage == stage, r.slice == plan.slice).order_by(r.id.desc()).limit(1)
        ).first()
        if last is not None and last.state is RunState.RUNNING:
            # nobody holds the lock
            last.state, last.error = RunState.FAILED, "the process ended without finishing"
            last.finished_at = datetime.now(UTC)
        resumes = (
            last is not None
            and last.on_workers
            and last.state in (RunState.CANCELLED, RunState.FAILED)
            and last.params == plan.params
        )
        if resumes:
            assert last is not None
            return last.id, _reopen(session, last.id)
        run = store.Run(
            stage=stage,
            slice=plan.slice,
            state=RunState.RUNNING,
            params=plan.params,
            progress_total=len(plan.parts) if plan.total is None else plan.total,
            checkpoint=plan.prepared,
            code_version=code_version(),
            on_workers=True,
        )
        session.add(run)
        session.flush()
        return run.id, _add_shards(session, run.id, plan.parts, 0)


def go_on(session: Session, run_id: int, following: Next) -> list[int]:
    """Add a run's next shards, in the transaction that found them out; their numbers."""
    s, r = store.Shard, store.Run
    first = session.execute(select(func.count()).select_from(s).where(s.run_id == run_id)).scalar_one()
    more = len(following.parts) if following.total is None else following.total
    session.execute(
        update(r)
        .where(r.id == run_id)
        .values(checkpoint=following.prepared, progress_total=r.progress_total + more, heartbeat_at=func.now())
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
    """Let a run on workers go on: its parked shards and those that were never done; their numbers.

    Raises:
        RunMissing: there is no such run, or it is none on workers.
        RunConflict: its stage is at work on its slice already.
    """
    with open_session(engine) as session:
        run = session.get(store.Run, run_id)
    if run is None:
        raise RunMissing(f"there is no run {run_id}: see `saring runs list`")
    if not run.on_workers:
        raise RunMissing(f"run {run_id} was one command's own: give the command again, and it goes on from there")
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
    """Ask that a run stop; its state then. One on workers has stopped, whatever its shards are still finishing; a
    process of its own stops when it next saves.

    Raises:
        RunMissing: there is no such run.
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


def begin_shard(engine: Engine, run_id: int, number: int, *, worker: str, again: bool) -> Begun | None:
    """Take a shard in hand; None if there is nothing to do: it is settled, or its run is over.

    Args:
        engine: the store.
        run_id: whose shard.
        number: which.
        worker: who takes it, for people.
        again: the same worker's orderly second try; it does not count as a death.
    """
    with open_session(engine) as session, session.begin():
        run = session.get(store.Run, run_id)
        if run is None or run.state is not RunState.RUNNING:
            return None
        shard = session.get(store.Shard, (run_id, number), with_for_update=True)
        if shard is None or shard.state in _SETTLED:
            return None
        if shard.attempts >= MOST_DEATHS and not again:
            last = f"; last: {shard.error}" if shard.error else ""
            _park(session, shard, f"begun {shard.attempts} times and never finished: does it kill its worker?{last}")
            return None
        shard.attempts += not again
        shard.state, shard.worker, shard.started_at = ShardState.RUNNING, worker, datetime.now(UTC)
        return Begun(
            RunView(run.id, run.stage, run.slice, dict(run.params), dict(run.checkpoint)),
            Part(Span(shard.lower, shard.upper), dict(shard.args)),
        )


def step(session: Session, run_id: int, units: int) -> None:
    """Count finished units into a run's progress, in the transaction that holds them.

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
        raise RunCancelled(f"run {run_id} is over: it was cancelled, or has ended")


def finish_shard(engine: Engine, run_id: int, number: int, counts: Values, *, in_shards: bool) -> bool:
    """Record that a shard is done; False if somebody else did before, whose counts stand.

    Args:
        engine: the store.
        run_id: whose shard.
        number: which.
        counts: what came of it.
        in_shards: the run's progress is counted in shards, and not by `step`.
    """
    with open_session(engine) as session, session.begin():
        s, r = store.Shard, store.Run
        done = session.execute(
            update(s)
            .where(s.run_id == run_id, s.number == number, s.state.not_in(_SETTLED))
            .values(state=ShardState.DONE, finished_at=func.now(), counts=counts, error=None)
            .returning(s.number)
        ).first()
        if done is not None:
            units = {"progress_done": r.progress_done + 1} if in_shards else {}
            session.execute(update(r).where(r.id == run_id).values(heartbeat_at=func.now(), **units))
        return done is not None


def note_trouble(engine: Engine, run_id: int, number: int, error: str) -> None:
    """Write down what went wrong with a shard that will be tried again."""
    with open_session(engine) as session, session.begin():
        s = store.Shard
        session.execute(
            update(s)
            .where(s.run_id == run_id, s.number == number, s.state.not_in(_SETTLED))
            .values(error=error[:_LONGEST_ERROR])
        )


def park_shard(engine: Engine, run_id: int, number: int, error: str) -> None:
    """Set a shard aside with its error; the rest of its run goes on."""
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
    """The run with its shards' counts added up, if each shard is done or parked and nobody has ended the run."""
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
    """Write how a run on workers ended, in the transaction that holds what it decided."""
    r = store.Run
    values: dict[str, Any] = {"state": state, "error": error, "finished_at": func.now(), "heartbeat_at": func.now()}
    if result is not None:
        values |= {"result": result, "progress_done": func.coalesce(r.progress_total, r.progress_done)}
    session.execute(update(r).where(r.id == run_id, r.state == RunState.RUNNING).values(**values))


def parked_note(session: Session, run_id: int) -> str | None:
    """In words, what was parked of a run and what to do; None if nothing was."""
    s = store.Shard
    rows = session.execute(
        select(s.number, s.error).where(s.run_id == run_id, s.state == ShardState.PARKED).order_by(s.number)
    ).all()
    if not rows:
        return None
    total = session.execute(select(func.count()).select_from(s).where(s.run_id == run_id)).scalar_one()
    number, error = rows[0]
    return (
        f"{len(rows)} of {total} shards were parked, the first is {number} ({error}): "
        f"mend that and run `saring runs resume {run_id}`"
    )


def add_up(counts: Sequence[Mapping[str, Any]]) -> Values:
    """Numbers added up by name, and those in mappings by the names there; lists one after the other; of anything else
    the last."""
    total: Values = {}
    for one in counts:
        for name, value in one.items():
            if isinstance(value, Mapping):
                total[name] = add_up([total.get(name, {}), value])
            elif isinstance(value, int | float) and not isinstance(value, bool):
                total[name] = total.get(name, 0) + value
            elif isinstance(value, list):
                total[name] = [*total.get(name, []), *value]
            else:
                total[name] = value
    return total
