"""What a strategy is: why a text may be worth a person's time.

A strategy draws nothing itself. It says with what chance each candidate should be drawn, and the queue tosses the
coins: so no strategy can get a probability wrong, and any number of them can be mixed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import Floats
from pipeline.queue.candidates import Candidates


@dataclass(frozen=True, slots=True)
class Chances:
    """What a strategy makes of n candidates."""

    #: the chance that each should be drawn, 0 to 1, [n]; in sum about the size that was asked for
    chance: Floats
    #: which of its texts should be served first: the greatest, in any unit, [n]
    priority: Floats
    #: why a candidate is worth a person's time, in words
    reason: Callable[[int], str]
    #: position of the label that each would be drawn for, -1 for none in particular, [n]
    label: NDArray[np.intp] | None = None
    #: what the reviewer should know of how the chances came about
    note: str | None = None


class Strategy(Protocol):
    """A reason to ask a person."""

    def weigh(self, candidates: Candidates, size: float, rng: np.random.Generator, /) -> Chances:
        """The chance of each candidate, given that about `size` texts are wanted.

        Whatever is random in it must not depend on anything but the candidates and `rng`.
        """
        ...


class Random:
    """Every text with the same chance: what the stream is really like, and a ground for every estimate."""

    def weigh(self, candidates: Candidates, size: float, rng: np.random.Generator) -> Chances:
        """See Strategy."""
        n = len(candidates)
        return Chances(np.full(n, min(1.0, size / max(1, n))), rng.random(n), lambda _: "drawn at random")
