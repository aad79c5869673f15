"""The plan of a training that must end in time: how many texts, how often, how long. Plain arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: share of the time that is kept for what no speed foretells
_SPARE = 0.07
#: tokens to which texts are cut where time is short, after what was asked for
_SHORTER = (48, 32)
#: share of the texts that must be read once before they are cut further
_ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class Speed:
    """Measured tokens a second: with and without learning."""

    learning: float
    scoring: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The course of a training within a budget."""

    #: tokens at which texts are cut
    length: int
    epochs: int
    #: tokens of the texts in an epoch, at most
    tokens: int
    #: seconds for learning; it is ended then
    seconds: float
    #: seconds that are kept for scoring the held-out texts
    scoring: float
    #: share of all texts, cut at `length`, that an epoch reads
    share: float = 1.0
    #: layers from the words up that stay as they are
    frozen: int = 0


def plan_training(
    seconds: float,
    lengths: Sequence[int] | NDArray[np.integer],
    held_out: int,
    speed: Speed,
    *,
    longest: int,
    epochs: int,
) -> Plan | None:
    """Choose the number of tokens of a text, the epochs and the tokens of an epoch; None: there is no time to learn.

    All texts are read as often as time allows, at most `epochs` times. Where there is no time to read all once, fewer
    are read; where there is none to read half of them, texts are cut shorter.

    Args:
        seconds: left for learning and for scoring the held-out texts.
        lengths: of the texts in tokens, cut at `longest`.
        held_out: tokens of the held-out texts that are scored afterwards.
        speed: as measured on this machine.
        longest: tokens of a text, at most.
        epochs: at most.
    """
    sizes = np.asarray(lengths)
    plan = None
    for length in (longest, *(shorter for shorter in _SHORTER if shorter < longest)):
        cut = np.minimum(sizes, length)
        all_once = int(cut.sum())
        # Held-out texts are as long as the others, about.
        scoring = held_out * all_once / max(1, int(sizes.sum())) / speed.scoring
        learning = seconds * (1 - _SPARE) - scoring
        if learning <= 0:
            continue
        tokens = learning * speed.learning
        times = max(1, min(epochs, round(tokens / max(1, all_once))))
        read = min(all_once, int(tokens / times))
        plan = Plan(length, times, read, seconds - scoring, scoring, share=read / max(1, all_once))
        if plan.share >= _ENOUGH:
            break
    return plan
