"""What a queue is asked to be, and what it became."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.errors import QueueError

#: how much of a queue each strategy of the first mix brings
FIRST_MIX: Mapping[str, float] = MappingProxyType({"uncertain": 0.4, "scarce": 0.25, "suspect": 0.15, "random": 0.2})


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """How a queue is drawn.

    Raises:
        QueueError: a value is out of range.
    """

    #: texts
    size: int = 500
    #: strategy to its share; shares are taken in proportion to their sum
    mix: Mapping[str, float] = field(default_factory=lambda: dict(FIRST_MIX))
    #: share of texts that are shown without ticks, to measure how much ticks sway people
    blind_share: float = 0.1
    #: share of texts whose answer is known, to measure raters
    gold_share: float = 0.05
    #: share of texts that are not harsh, at least
    benign_share: float = 0.25
    #: harsh texts that are served in a row while others are left, at most
    harsh_run: int = 3
    #: no two texts are drawn whose cosine is above this
    near: float = 0.95
    #: gold texts that each label should have
    gold_target: int = 100
    #: candidates that are looked at, at most
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
            raise QueueError("the mix has nothing in it: give a strategy a share above 0")

    def shares(self, known: Collection[str]) -> dict[str, float]:
        """The strategies that take part, in the order of the mix, with shares that sum to 1.

        Raises:
            QueueError: a strategy of the mix is not among the `known` ones.
        """
        for name in self.mix:
            if name not in known:
                raise QueueError(f"no strategy is called {name!r}; there are {', '.join(sorted(known))}")
        whole = sum(self.mix.values())
        return {name: share / whole for name, share in self.mix.items() if share > 0}


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What one call of `build_queue` drew."""

    run_id: int
    #: texts that were asked for, and that were drawn
    asked: int
    drawn: int
    #: texts that might have been drawn, and those of them that were looked at
    eligible: int
    candidates: int
    #: texts that were waiting and had not been pushed: they no longer wait unless they were drawn again
    replaced: int
    by_strategy: Mapping[str, int]
    #: texts that each label is expected of
    by_label: Mapping[str, int]
    harsh: int
    blind: int
    gold: int
    #: drawn texts that gave way to a near-alike one
    near_alike: int
    #: candidates without a vector: whether they are near-alike is not known
    without_vector: int
    #: version of the champion; None: there was none
    champion: str | None
    #: what the reviewer should know
    notes: tuple[str, ...] = ()
