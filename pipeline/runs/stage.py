"""The form of a stage, and what is handed to it. An executor (`pipeline.runs.executor`) runs it, here or on workers.

A stage is written once. It cuts its work (`plan`), does one part of it (`work`), and puts the parts together
(`reduce`). It does not know who runs it.
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
    """What a stage works with. `saring.Home` is one."""

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
        """Make a value once a process: encoders and models are slow to load."""

    def begin(self) -> AbstractContextManager[Session]:
        """Open a transaction, which is committed at the end of the block."""


@dataclass(frozen=True, slots=True)
class Part:
    """The share of a run's work that one shard does."""

    span: Span = field(default_factory=Span)
    args: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The way in which a stage's work on a slice of the data is cut."""

    #: one run of the stage on a slice at a time
    slice: str
    parts: Sequence[Part]
    #: units of work in all, as `Step` will count them; None: as many as there are shards
    total: int | None = None
    #: what makes two runs the same: one that ended early is taken up again by the next with the same
    params: Values = field(default_factory=dict)
    #: results of planning that all shards need
    prepared: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Next:
    """More work, which could be cut only once the first shards were done."""

    parts: Sequence[Part]
    #: in place of what was prepared before
    prepared: Values
    #: units of work that come on top; None: as many as there are parts
    total: int | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, as a stage sees it."""

    id: int
    stage: str
    slice: str
    params: Mapping[str, Any]
    #: what `plan`, or the last `Next`, prepared
    prepared: Mapping[str, Any] = field(default_factory=dict)
    #: shards that were given up
    parked: int = 0


class Step(Protocol):
    """Counts finished work. A stage calls it last in each of its transactions."""

    @property
    def progress(self) -> Progress:
        """Where to report progress within one part; silent on workers."""

    def __call__(self, session: Session, units: int, note: str = "") -> None:
        """Count `units` more units of work as done with this transaction.

        Args:
            session: the transaction.
            units: how many.
            note: a few words for a progress bar.

        Raises:
            RunCancelled: the run was cancelled.
        """


class Stage(Protocol[P, R]):
    """A stage with parameters `P` and a report `R`, both plain dataclasses.

    Everything in it may be done twice, or die half-way and be done again.
    """

    @property
    def name(self) -> str:
        """Its name in run records."""

    @property
    def report(self) -> type[R]:
        """The class of its report, by which a record is read."""

    @property
    def queue(self) -> str:
        """The queue of its shards: `cpu`, `io` or `gpu`."""

    @property
    def what(self) -> str:
        """A few words for a progress bar, such as `embedding`."""

    @property
    def in_shards(self) -> bool:
        """True: progress is counted in shards. False: in the units that are passed to `Step`."""

    @property
    def together(self) -> bool:
        """True: its decisions belong together, so in one process the whole run is one transaction."""

    @property
    def limit_seconds(self) -> int:
        """A shard that takes longer is stopped and parked."""

    def plan(self, home: WorkContext, params: P) -> Plan:
        """Cut the work, and prepare what all parts need."""

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Do one part in transactions of its own (`home.begin`), and return its counts by name."""

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> R | Next:
        """Put the parts together in the transaction that ends the run.

        Args:
            home: what to work with.
            session: an open transaction, committed by the caller.
            run: the run.
            counts: the counts of all parts so far, added up.

        Returns:
            The report; or the work that comes next, after which this is called again.
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
    """Note on a session that its transaction holds a whole run."""
    session.info[_TOGETHER] = True


def is_together(session: Session) -> bool:
    """True where the transaction holds a whole run: temporary tables of one part are still there for the next."""
    return bool(session.info.get(_TOGETHER))
