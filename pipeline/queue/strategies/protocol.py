"""The interface of a strategy: a reason to spend a person's time on a text.

A strategy draws nothing itself. It gives each candidate a chance, and the queue draws: so no strategy can get an
inclusion probability wrong, and any number of strategies can be mixed.
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
    """Chances, priorities and reasons of n candidates by a strategy."""

    #: chance of each, 0 to 1, [n]; the sum is about the size that was asked for
    chance: Floats
    #: priority of each, in any unit, [n]; greater is served first
    priority: Floats
    #: the reason to ask a person about a candidate, in words
    reason: Callable[[int], str]
    #: position of the label that each is drawn for, -1 for none, [n]
    label: NDArray[np.intp] | None = None
    #: note on the chances for the reviewer
    note: str | None = None


class Strategy(Protocol):
    """A reason to ask a person."""

    def weigh(self, candidates: Candidates, size: float, rng: np.random.Generator, /) -> Chances:
        """The chance of each candidate, given that about `size` texts are wanted.

        Randomness must depend only on the candidates and `rng`.
        """
        ...


class Random:
    """Every text with the same chance: a plain sample of the stream, as a base for estimates."""

    def weigh(self, candidates: Candidates, size: float, rng: np.random.Generator) -> Chances:
        """See Strategy."""
        n = len(candidates)
        return Chances(np.full(n, min(1.0, size / max(1, n))), rng.random(n), lambda _: "drawn at random")
