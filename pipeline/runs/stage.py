"""The form of a stage, and its arguments. An executor (`pipeline.runs.executor`) runs it, here or on workers.

A stage is written once. It divides its work (`plan`), does one part of it (`work`), and combines the results of the
parts (`reduce`). It does not depend on the executor.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.progress import Progress
from pipeline.runs.values import Values
from pipeline.settings import Settings
from pipeline.store.spans import Span
from pipeline.taxonomy import Taxonomy

T = TypeVar("T")
P = TypeVar("P", contravariant=True)
R = TypeVar("R", covariant=True)

#: texts in a shard: some seconds to some minutes of work for one core, whatever the stage
SHARD_TEXTS = 5_000
#: key of `Session.info`, set where one transaction holds a whole run
_TOGETHER = "saring_together"


class WorkContext(Protocol):
    """Settings, taxonomy, store and cache for a stage. `saring.Home` is one."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy in force."""

    @property
    def engine(self) -> Engine:
        """The store."""

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make a value once in a process: encoders and models are slow to load."""

    def begin(self) -> AbstractContextManager[Session]:
        """Open a transaction, which is committed at the end of the block."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a run's work: the work of one shard."""

    span: Span = field(default_factory=Span)
    args: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The division of a stage's work on a slice of the data into parts."""

    #: a stage has one run at a time on a slice
    slice: str
    parts: Sequence[Part]
    #: units of work in all, as `Step` will count them; None: the number of shards
    total: int | None = None
    #: parameters that identify the run: a run that ended early continues with the next run that has the same ones
    params: Values = field(default_factory=dict)
    #: results of planning that all shards need
    prepared: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Next:
    """More parts, which depend on the results of the first shards."""

    parts: Sequence[Part]
    #: replaces `Plan.prepared`
    prepared: Values
    #: additional units of work; None: the number of parts
    total: int | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """The data of a run that a stage needs."""

    id: int
    stage: str
    slice: str
    params: Mapping[str, Any]
    #: results of `plan`, or of the last `Next`
    prepared: Mapping[str, Any] = field(default_factory=dict)
    #: number of parked shards
    parked: int = 0


class Step(Protocol):
    """A function that counts finished work. A stage calls it last in each of its transactions."""

    @property
    def progress(self) -> Progress:
        """The function to report progress within one part with; on workers it does nothing."""

    def __call__(self, session: Session, units: int, note: str = "") -> None:
        """Count `units` more units of work as finished with this transaction.

        Args:
            session: the transaction.
            units: number of units.
            note: figures for a progress bar.

        Raises:
            RunCancelled: the run was cancelled.
        """


class Stage(Protocol[P, R]):
    """A stage with parameters `P` and a report `R`, both plain dataclasses.

    Everything in it may be done twice, or be interrupted and done again.
    """

    @property
    def name(self) -> str:
        """The stage's name in run records."""

    @property
    def report(self) -> type[R]:
        """The class of its report; results in run records are read as this class."""

    @property
    def queue(self) -> str:
        """The queue of its shards: `cpu`, `io` or `gpu`."""

    @property
    def what(self) -> str:
        """The name of the work for a progress bar, such as `embedding`."""

    @property
    def in_shards(self) -> bool:
        """True: progress is counted in shards. False: in units, which are passed to `Step`."""

    @property
    def together(self) -> bool:
        """True: its decisions belong together, so in one process the whole run is one transaction."""

    @property
    def limit_seconds(self) -> int:
        """The longest time of a shard, in seconds; after it the shard is stopped and parked."""

    def plan(self, home: WorkContext, params: P) -> Plan:
        """Divide the work into parts, and prepare what all parts need."""

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Do one part in transactions of its own (`home.begin`), and return its counts by name."""

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> R | Next:
        """Combine the results of the parts, in the transaction that ends the run.

        Args:
            home: settings, taxonomy and store.
            session: an open transaction, committed by the caller.
            run: the run.
            counts: the sum of the counts of all parts so far.

        Returns:
            The report; or the next work, after which this is called again.
        """


@runtime_checkable
class ChoosesQueue(Protocol):
    """A stage whose queue depends on the slice."""

    def queue_of(self, slice: str) -> str:
        """The queue of a run on that slice."""


def queue_of(stage: Stage[Any, Any], slice: str) -> str:
    """The queue of a stage's run on a slice: `cpu`, `io` or `gpu`."""
    return stage.queue_of(slice) if isinstance(stage, ChoosesQueue) else stage.queue


def mark_together(session: Session) -> None:
    """Mark a session whose transaction holds a whole run."""
    session.info[_TOGETHER] = True


def is_together(session: Session) -> bool:
    """True where the transaction holds a whole run: temporary tables of a part still exist for the next part."""
    return bool(session.info.get(_TOGETHER))
