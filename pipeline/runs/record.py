"""Run records: what was executed, on what, how far it got, and how it ended.

One stage works on one slice of the data at a time, held by a PostgreSQL advisory lock that dies with its process: a
killed run leaves its record in state `running`, and the next start of the same stage on the same slice marks it failed
and takes over its checkpoint. A run whose work is spread over workers (`pipeline.runs`) holds no lock: its record alone
keeps others out until it ends or is cancelled.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from pipeline.errors import LONGEST_LINE, RunCancelled, RunConflict, first_line
from pipeline.progress import Progress, silent
from pipeline.store import Run
from pipeline.store.locks import held, lock_key
from pipeline.store.tables.core import RunState

logger = logging.getLogger(__name__)


def code_version() -> str:
    """The version of Saring that is running."""
    try:
        return version("saring")
    except PackageNotFoundError:
        return "unknown"


@dataclass(slots=True)
class ActiveRun:
    """A run under way. `counts` and `checkpoint` are written by `save()`, in the caller's transaction."""

    id: int
    stage: str
    slice: str
    counts: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    #: the report as plain values, once there is one
    result: dict[str, Any] | None = None
    #: the run whose checkpoint this one goes on from
    resumed_from: int | None = None
    progress: Progress = silent
    _done: int = 0
    _total: int | None = None

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the run."""
        self.counts[name] = self.counts.get(name, 0) + by

    def advance(self, done: int, total: int | None, what: str, note: str = "") -> None:
        """Tell the caller, and remember for `save()`, how far the run is."""
        self._done, self._total = done, total
        self.progress(done, total, what, *([note] if note else []))

    def save(self, session: Session) -> None:
        """Write counts, checkpoint and progress with whatever else the caller's transaction holds.

        Raises:
            RunCancelled: somebody asked that the run stop; what was saved before stays.
        """
        stop = session.execute(
            update(Run)
            .where(Run.id == self.id)
            .values(
                counts=self.counts,
                checkpoint=self.checkpoint,
                progress_done=self._done,
                progress_total=self._total,
                heartbeat_at=datetime.now(UTC),
            )
            .returning((Run.cancel_asked_at.is_not(None)) | (Run.state != RunState.RUNNING))
        ).scalar_one()
        if stop:
            raise RunCancelled(f"run {self.id} was cancelled: start it again to go on from there")


@dataclass(frozen=True, slots=True)
class CurrentShard:
    """The part of a run that this thread works on."""

    run_id: int
    stage: str
    slice: str
    #: None: the shards are being put together
    shard: int | None


_CURRENT: ContextVar[CurrentShard | None] = ContextVar("saring_current_shard", default=None)


@contextmanager
def current_shard(run_id: int, stage: str, slice: str, shard: int | None) -> Iterator[None]:
    """Note, for the length of the block, that this thread works on a shard."""
    token = _CURRENT.set(CurrentShard(run_id, stage, slice, shard))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def shard_at_work() -> CurrentShard | None:
    """The shard that this thread works on; None outside of runs that an executor carries out."""
    return _CURRENT.get()


@contextmanager
def stage_run(
    engine: Engine,
    stage: str,
    *,
    slice: str = "",
    params: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Iterator[ActiveRun]:
    """Record one execution of `stage` on `slice`; failures and interruptions are recorded and go on to the caller.

    If the last run of the stage on the slice with the same parameters did not finish, its checkpoint and counts are
    taken over.

    Within a shard of the same stage and slice no second run is recorded: the work belongs to the shard's run.

    Raises:
        RunConflict: the same stage works on the same slice in another process.
    """
    current = shard_at_work()
    if current is not None and (current.stage, current.slice) == (stage, slice):
        # The executor records the end of the run.
        yield ActiveRun(id=current.run_id, stage=stage, slice=slice, progress=progress)
        return
    with stage_lock(engine, stage, slice):
        active = _begin(engine, stage, slice, dict(params or {}))
        active.progress = progress
        try:
            yield active
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | RunCancelled)
            state = RunState.CANCELLED if stopped else RunState.FAILED
            _finish(engine, active, state, one_line(error))
            raise
        else:
            _finish(engine, active, RunState.DONE, None)


@contextmanager
def stage_lock(engine: Engine, stage: str, part: str) -> Iterator[None]:
    """Hold a stage on a slice; the lock dies with the process.

    Raises:
        RunConflict: another process holds it.
    """
    with held(engine, lock_key(stage, part)) as mine:
        if mine is None:
            raise RunConflict(f"another `{stage}`{_of(part)} is under way: wait for it, or see `saring runs list`")
        yield


def refuse_beside_workers(session: Session, stage: str, part: str) -> None:
    """Check that no run of the stage on the slice is spread over workers at present.

    Raises:
        RunConflict: one is.
    """
    found = session.scalars(
        select(Run.id).where(Run.stage == stage, Run.slice == part, Run.state == RunState.RUNNING, Run.on_workers)
    ).first()
    if found is not None:
        raise RunConflict(
            f"run {found}, `{stage}`{_of(part)}, is under way on the workers: follow it with "
            f"`saring runs watch {found}` or end it with `saring runs cancel {found}`"
        )


def _of(part: str) -> str:
    return f" of {part}" if part else ""


def _begin(engine: Engine, stage: str, part: str, params: dict[str, Any]) -> ActiveRun:
    with Session(engine) as session, session.begin():
        refuse_beside_workers(session, stage, part)
        # We hold the lock, so a record that still says `running` belongs to a process that died.
        session.execute(
            update(Run)
            .where(Run.stage == stage, Run.slice == part, Run.state == RunState.RUNNING)
            .values(state=RunState.FAILED, error="the process ended without finishing", finished_at=datetime.now(UTC))
        )
        last = session.scalars(
            select(Run).where(Run.stage == stage, Run.slice == part, ~Run.on_workers).order_by(Run.id.desc()).limit(1)
        ).first()
        resumes = last if last is not None and last.state is not RunState.DONE and last.params == params else None
        run = Run(
            stage=stage,
            slice=part,
            state=RunState.RUNNING,
            params=params,
            checkpoint=dict(resumes.checkpoint) if resumes else {},
            counts=dict(resumes.counts) if resumes else {},
            code_version=code_version(),
        )
        session.add(run)
        session.flush()
        return ActiveRun(
            id=run.id,
            stage=stage,
            slice=part,
            counts=dict(run.counts),
            checkpoint=dict(run.checkpoint),
            resumed_from=resumes.id if resumes else None,
        )


def one_line(error: BaseException) -> str:
    """An error as a run's record keeps it."""
    kind, words = type(error).__name__, first_line(error)
    return words if words == kind else f"{kind}: {words}"[:LONGEST_LINE]


def _finish(engine: Engine, active: ActiveRun, state: RunState, error: str | None) -> None:
    values: dict[str, Any] = {"state": state, "error": error, "finished_at": datetime.now(UTC)}
    if state is RunState.DONE:
        values |= {"counts": active.counts, "result": active.result}
    with Session(engine) as session, session.begin():
        session.execute(update(Run).where(Run.id == active.id).values(**values))
