"""What a stage must be able to do for its work to be spread over workers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.settings import Settings
from pipeline.store.spans import Span
from pipeline.taxonomy import Taxonomy

#: plain values, as they stand in a run's record
Values = dict[str, Any]
T = TypeVar("T")

#: texts in a shard: some seconds to some minutes of work for one core, whatever the stage
SHARD_TEXTS = 5_000


class WorkContext(Protocol):
    """What a stage works with, wherever it is carried out."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels there are."""

    @property
    def engine(self) -> Engine:
        """The store."""

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` makes, made once a process: encoders and models are slow to load."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one shard is to be about."""

    span: Span = field(default_factory=Span)
    args: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a stage's work on a slice of the data is cut."""

    #: one run of the stage on a slice at a time
    slice: str
    parts: Sequence[Part]
    #: units of work in all, as `Step` will count them; None: as many as there are shards
    total: int | None = None
    #: what makes two runs the same: one that ended early is taken up again by the next with the same
    params: Values = field(default_factory=dict)
    #: what planning found out that all shards need
    prepared: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Next:
    """What a stage does after its first shards, when their results were needed to cut it."""

    parts: Sequence[Part]
    #: in place of what was prepared before
    prepared: Values
    #: units of work that come on top; None: as many as there are parts
    total: int | None = None


class Step(Protocol):
    """Called by a shard's work in each transaction, last of all."""

    def __call__(self, session: Session, units: int) -> None:
        """So many more units are done with this transaction.

        Raises:
            RunCancelled: the run was cancelled.
        """


class Stage(Protocol):
    """A stage whose work can be spread. Everything in it may be done twice, or die half-way and be done again."""

    @property
    def name(self) -> str:
        """As runs call it."""

    @property
    def queue(self) -> str:
        """What its shards wait for: `cpu`, `io`, `gpu`."""

    @property
    def what(self) -> str:
        """What it is doing, for a progress bar."""

    @property
    def in_shards(self) -> bool:
        """Whether progress is counted in shards; else in units that the work passes to `Step`."""

    @property
    def limit_seconds(self) -> int:
        """A shard that takes longer is stopped and parked."""

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """Cut the work. Called by whoever starts a run, in no transaction; may prepare what all shards need."""

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Do a shard's work, in transactions of its own, and return what came of it, numbers by name."""

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values | Next:
        """Put the shards together in the transaction that ends the run, and return what the run reports; or say what
        there is to do next, after which this is called again.

        Args:
            ctx: what to work with.
            session: an open transaction, committed by the caller.
            run: the run.
            counts: what all shards so far returned, added up.
        """


@runtime_checkable
class ChoosesQueue(Protocol):
    """A stage whose shards wait for different things, as the slice says."""

    def queue_of(self, slice: str) -> str:
        """What the shards of a run on that slice wait for."""


def queue_of(stage: Stage, slice: str) -> str:
    """What the shards of a stage's run on a slice wait for: `cpu`, `io`, `gpu`."""
    return stage.queue_of(slice) if isinstance(stage, ChoosesQueue) else stage.queue


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, as those see it who carry out its work."""

    id: int
    stage: str
    slice: str
    params: Mapping[str, Any]
    #: what was found out before the shards at hand
    prepared: Mapping[str, Any] = field(default_factory=dict)
    #: shards that were given up
    parked: int = 0
