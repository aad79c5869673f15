"""Run records: stage, slice, progress and result of each run.

A stage has one run at a time on a slice of the data. A PostgreSQL advisory lock, which ends with its process, ensures
this: a killed run leaves its record in state `running`, and the next run of the same stage on the same slice marks it
as failed and continues from its checkpoint. A run on workers (`pipeline.runs`) holds no lock: its record alone keeps
other runs out until it ends or is cancelled.
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
    """A run in progress. `save()` writes `counts` and `checkpoint` in the caller's transaction."""

    id: int
    stage: str
    slice: str
    counts: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    #: the report as plain values; None until there is one
    result: dict[str, Any] | None = None
    #: the run whose checkpoint this run continues from
    resumed_from: int | None = None
    progress: Progress = silent
    _done: int = 0
    _total: int | None = None

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the run."""
        self.counts[name] = self.counts.get(name, 0) + by

    def advance(self, finished: int, total: int | None, what: str, note: str = "", /) -> None:
        """Report progress to the caller, and keep it for `save()`; see `Progress`."""
        self._done, self._total = finished, total
        self.progress(finished, total, what, *([note] if note else []))

    def save(self, session: Session) -> None:
        """Write counts, checkpoint and progress in the caller's transaction.

        Raises:
            RunCancelled: the run was cancelled; earlier transactions stay.
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
            raise RunCancelled(f"run {self.id} was cancelled: start it again to continue from there")


@dataclass(frozen=True, slots=True)
class CurrentShard:
    """The part of a run that this thread works on."""

    run_id: int
    stage: str
    slice: str
    #: number of the shard; None: the shards' results are being combined
    shard: int | None


_CURRENT: ContextVar[CurrentShard | None] = ContextVar("saring_current_shard", default=None)


@contextmanager
def current_shard(run_id: int, stage: str, slice: str, shard: int | None) -> Iterator[None]:
    """Set the current shard of this thread for the length of the block."""
    token = _CURRENT.set(CurrentShard(run_id, stage, slice, shard))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def shard_at_work() -> CurrentShard | None:
    """The shard that this thread works on; None outside of an executor's runs."""
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
    """Record one run of `stage` on `slice`; errors and interruptions are recorded and raised again.

    If the last run of the stage on the slice with the same parameters did not finish, the new run continues with its
    checkpoint and counts.

    Within a shard of the same stage and slice no second run is recorded: the work belongs to the shard's run, and goes
    on from its checkpoint.

    Raises:
        RunConflict: the same stage is already running on the same slice.
    """
    current = shard_at_work()
    if current is not None and (current.stage, current.slice) == (stage, slice):
        # The executor records the end of the run.
        yield _within_shard(engine, current, progress)
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


def _within_shard(engine: Engine, current: CurrentShard, progress: Progress) -> ActiveRun:
    """The run of a shard. What an earlier attempt saved with a checkpoint goes on from there."""
    active = ActiveRun(id=current.run_id, stage=current.stage, slice=current.slice, progress=progress)
    with Session(engine) as session:
        saved = session.execute(select(Run.checkpoint, Run.counts).where(Run.id == current.run_id)).one_or_none()
    if saved is not None and saved.checkpoint:
        active.checkpoint, active.counts = dict(saved.checkpoint), dict(saved.counts)
    return active


@contextmanager
def stage_lock(engine: Engine, stage: str, part: str) -> Iterator[None]:
    """Hold the lock of a stage on a slice; the lock ends with the process.

    Raises:
        RunConflict: another process holds it.
    """
    with held(engine, lock_key(stage, part)) as connection:
        if connection is None:
            raise RunConflict(
                f"another `{stage}`{_of(part)} is already running: wait until it ends, or see `saring runs list`"
            )
        yield


def refuse_beside_workers(session: Session, stage: str, part: str) -> None:
    """Check that no run of the stage on the slice is running on workers.

    Raises:
        RunConflict: there is such a run.
    """
    run_id = session.scalars(
        select(Run.id).where(Run.stage == stage, Run.slice == part, Run.state == RunState.RUNNING, Run.on_workers)
    ).first()
    if run_id is not None:
        raise RunConflict(
            f"run {run_id}, `{stage}`{_of(part)}, is already running on the workers: follow it with "
            f"`saring runs watch {run_id}`, or cancel it with `saring runs cancel {run_id}`"
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
    """An error in one line, as it is stored with a run."""
    kind, message = type(error).__name__, first_line(error)
    return message if message == kind else f"{kind}: {message}"[:LONGEST_LINE]


def _finish(engine: Engine, active: ActiveRun, state: RunState, error: str | None) -> None:
    values: dict[str, Any] = {"state": state, "error": error, "finished_at": datetime.now(UTC)}
    if state is RunState.DONE:
        values |= {"counts": active.counts, "result": active.result}
    with Session(engine) as session, session.begin():
        session.execute(update(Run).where(Run.id == active.id).values(**values))
