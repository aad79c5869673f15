"""Settings and report of a queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.errors import QueueError

#: share of each strategy in the default mix
FIRST_MIX: Mapping[str, float] = MappingProxyType({"uncertain": 0.4, "scarce": 0.25, "suspect": 0.15, "random": 0.2})


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """Settings of a queue.

    Raises:
        QueueError: a value is out of range.
    """

    #: texts
    size: int = 500
    #: strategy to its share; shares are taken in proportion to their sum
    mix: Mapping[str, float] = field(default_factory=lambda: dict(FIRST_MIX))
    #: share of texts that are shown without ticks, to measure the effect of ticks on people
    blind_share: float = 0.1
    #: share of planted texts, whose answer is known, to measure raters
    gold_share: float = 0.05
    #: share of texts that are not harsh, at least
    benign_share: float = 0.25
    #: largest number of harsh texts in a row while others are left
    harsh_run: int = 3
    #: cosine above which two texts are not both drawn
    near: float = 0.95
    #: gold texts that each label should have
    gold_target: int = 100
    #: largest number of candidates
    pool: int = 50_000

    def __post_init__(self) -> None:
        for name in ("size", "harsh_run", "pool", "gold_target"):
            if getattr(self, name) < 1:
                raise QueueError(f"{name} is {getattr(self, name)}: give at least 1")
        for name in ("blind_share", "gold_share", "benign_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise QueueError(f"{name} is {getattr(self, name)}: give a share between 0 and 1")
        if not 0 < self.near <= 1:
            raise QueueError(f"near is {self.near}: give a cosine above 0 and up to 1")
        if not self.mix or any(not 0 <= share < float("inf") for share in self.mix.values()):
            raise QueueError("the mix needs a share of 0 or more for each of its strategies")
        if sum(self.mix.values()) <= 0:
            raise QueueError("every strategy of the mix has a share of 0: give one a share above 0")

    def shares(self, known: Collection[str]) -> dict[str, float]:
        """The strategies that take part, in the order of the mix, with shares that sum to 1.

        Raises:
            QueueError: a strategy of the mix is not among the `known` ones.
        """
        for name in self.mix:
            if name not in known:
                raise QueueError(f"strategy {name!r} is not known: use {', '.join(sorted(known))}")
        whole = sum(self.mix.values())
        return {name: share / whole for name, share in self.mix.items() if share > 0}


@dataclass(frozen=True, slots=True)
class QueueReport:
    """Result of one call of `build_queue`."""

    run_id: int
    #: number of texts that were asked for, and of texts that were drawn
    asked: int
    drawn: int
    #: number of eligible texts, and of candidates among them
    eligible: int
    candidates: int
    #: texts that waited and had not been pushed: they no longer wait unless they were drawn again
    replaced: int
    by_strategy: Mapping[str, int]
    #: number of texts that probably have each label
    by_label: Mapping[str, int]
    harsh: int
    blind: int
    gold: int
    #: drawn texts left out because a very similar text was drawn
    near_alike: int
    #: candidates without a vector, whose similarity to others is unknown
    without_vector: int
    #: version of the champion; None: there was none
    champion: str | None
    #: notes for the reviewer
    notes: tuple[str, ...] = ()
