"""A stage with one shard, such as a training or a draw from all texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import RunFailed
from pipeline.progress import Progress
from pipeline.runs.stage import Next, Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values, from_values, to_values
from pipeline.store.tables.work import ShardState

P = TypeVar("P")
R = TypeVar("R")
_HOUR = 3600


class WholeStage(ABC, Generic[P, R]):
    """A stage whose one shard does all the work; parameters and report are plain dataclasses."""

    name: str
    what: str
    slice: str = ""
    params: type[P]
    report: type[R]
    queue: str = "cpu"
    in_shards: bool = True
    together: bool = False
    limit_seconds: int = 12 * _HOUR

    @abstractmethod
    def call(self, home: WorkContext, params: P, progress: Progress) -> R:
        """Do the work."""

    def plan(self, home: WorkContext, params: P) -> Plan:  # noqa: ARG002 - as the form of a stage has it
        """A plan with one part."""
        return Plan(self.slice, [Part()], params=to_values(params))

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:  # noqa: ARG002
        """Do all the work, and return the report's values."""
        values: Values = to_values(self.call(home, from_values(self.params, run.params), step.progress))
        return values

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> R | Next:  # noqa: ARG002
        """Return the report of the work.

        Raises:
            RunFailed: the work failed on a worker.
        """
        if run.parked:
            s = store.Shard
            error = session.scalars(select(s.error).where(s.run_id == run.id, s.state == ShardState.PARKED)).first()
            raise RunFailed(error or "its work failed")
        return from_values(self.report, counts)
