"""Executors, which run stages: `Inline` in this process, `saring.workers.executor.Workers` on Celery workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.progress import Progress, silent
from pipeline.runs.record import ActiveRun, current_shard, stage_run
from pipeline.runs.run_logs import kept_log
from pipeline.runs.stage import Next, Part, RunView, Stage, WorkContext, mark_together
from pipeline.runs.values import Values, add_up, to_values
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.store.spans import Span
from pipeline.taxonomy import Taxonomy

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")


class Executor(Protocol):
    """A way to run stages."""

    def run(self, stage: Stage[P, R], home: WorkContext, params: P, progress: Progress) -> R:
        """Run a stage to its end.

        Raises:
            RunConflict: the stage is already running on the same slice.
            RunCancelled: the run was cancelled.
        """


@dataclass(frozen=True, slots=True)
class Inline:
    """An executor that runs a stage in this process, its parts one after the other.

    Args:
        recorded: False: write no run record, for a stage whose parts write records of their own.
        logged: True: store the log with the run, for a run that a worker began.
    """

    recorded: bool = True
    logged: bool = False

    def run(self, stage: Stage[P, R], home: WorkContext, params: P, progress: Progress) -> R:
        """Run a stage to its end; see `Executor.run`."""
        with _transactions(stage, home) as (context, commit):
            plan = stage.plan(context, params)
            kept = to_values(plan.params)
            if not self.recorded:
                view = RunView(0, stage.name, plan.slice, kept, to_values(plan.prepared))
                unrecorded = _Unrecorded(0, stage.name, plan.slice, progress=progress)
                return _run_parts(stage, context, unrecorded, view, plan.parts, plan.total)
            with stage_run(home.engine, stage.name, slice=plan.slice, params=kept, progress=progress) as active:
                view = RunView(active.id, stage.name, plan.slice, kept, to_values(plan.prepared))
                log_of = kept_log(home.engine, active.id, 0) if self.logged else nullcontext()
                with current_shard(active.id, stage.name, plan.slice, 0), log_of:
                    report = _run_parts(stage, context, active, view, plan.parts, plan.total)
                # The run is recorded as done only once its decisions are in the store.
                commit()
        return report


def run(
    stage: Stage[P, R],
    home: WorkContext,
    params: P,
    *,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> R:
    """Run a stage to its end, and return its report.

    Args:
        stage: the stage.
        home: settings, taxonomy and store.
        params: the stage's parameters.
        executor: the executor; None: this process.
        progress: called as the work advances.

    Raises:
        RunConflict: the stage is already running on the same slice.
        RunCancelled: the run was cancelled.
    """
    return (executor or Inline()).run(stage, home, params, progress)


def _run_parts(
    stage: Stage[Any, R],
    home: WorkContext,
    active: ActiveRun,
    view: RunView,
    parts: Sequence[Part],
    total: int | None,
) -> R:
    step = _InlineStep(active, stage.what, counts_units=not stage.in_shards)
    counts: list[Values] = []
    while True:
        joined = join(parts)
        step.expect(len(joined) if total is None else total)
        for part in joined:
            counts.append(to_values(stage.work(home, view, part, step)))
            step.part_done()
        with home.begin() as session:
            summed = add_up(counts)
            outcome = stage.reduce(home, session, view, summed)
            if not isinstance(outcome, Next):
                active.counts = active.counts or summed
                active.result = to_values(outcome)
                active.save(session)
                return outcome
        parts, total = outcome.parts, outcome.total
        view = RunView(view.id, view.stage, view.slice, view.params, to_values(outcome.prepared))


class _Unrecorded(ActiveRun):
    """A run without a record."""

    def save(self, session: Session) -> None:
        """Write nothing."""


def join(parts: Sequence[Part]) -> list[Part]:
    """Join neighbouring parts that differ in their span only: a single process gains nothing from small parts."""
    joined = []
    for _, group in itertools.groupby(parts, key=lambda part: part.args):
        neighbours = list(group)
        joined.append(Part(Span(neighbours[0].span.lower, neighbours[-1].span.upper), neighbours[0].args))
    return joined


class _InlineStep:
    """The count of a run's finished work in this process; see `Step`."""

    def __init__(self, active: ActiveRun, what: str, *, counts_units: bool) -> None:
        self._active, self._what, self._counts_units = active, what, counts_units
        self._done, self._total = 0, 0

    @property
    def progress(self) -> Progress:
        """The caller's progress function."""
        return self._active.progress

    def expect(self, units: int) -> None:
        """Add to the total units of work."""
        self._total += units
        self._active.advance(self._done, self._total, self._what)

    def part_done(self) -> None:
        """Count a part as finished."""
        if not self._counts_units:
            self._done += 1
            self._active.advance(self._done, self._total, self._what)

    def __call__(self, session: Session, units: int, note: str = "") -> None:
        """Count units as finished, and stop if the run was cancelled; see `Step`."""
        if self._counts_units:
            self._done += units
        self._active.advance(self._done, self._total, self._what, note)
        self._active.save(session)


@contextmanager
def _transactions(stage: Stage[Any, Any], home: WorkContext) -> Iterator[tuple[WorkContext, Callable[[], None]]]:
    """Give the context for a run and a function that commits its work.

    A stage whose decisions belong together gets a context with one transaction.
    """
    if not stage.together:
        yield home, lambda: None
        return
    with open_session(home.engine) as session:
        mark_together(session)
        yield _OneTransaction(home, session), session.commit


class _OneTransaction:
    """A context with one transaction for the whole run."""

    def __init__(self, home: WorkContext, session: Session) -> None:
        self._home, self._session = home, session

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._home.settings

    @property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy in force."""
        return self._home.taxonomy

    @property
    def engine(self) -> Engine:
        """The store."""
        return self._home.engine

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make a value once a process."""
        return self._home.keep(key, make)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """The one transaction, which is committed at the end of the run."""
        yield self._session
