"""Numbers with their intervals: percentile bootstraps over texts (Efron & Tibshirani 1993, chapter 13), and shares.

Texts are what is resampled, since answers and labels of one text are not independent. Everything that is measured
under the same weights has the same resampled texts, so that means and differences have intervals too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import Floats, Ints

RESAMPLES = 1_000
#: resamples whose weights are held in memory together
_BLOCK = 50


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float


def resampled(texts: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> Iterator[Floats]:
    """Counts of each text in each bootstrap resample, a block [some resamples, texts] at a time."""
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        yield rng.multinomial(texts, np.full(texts, 1 / max(1, texts)), size=size).astype(np.float64)


def estimate_of(value: float, draws: Floats) -> Estimate:
    """A number with the 95% interval of its resamples; resamples without a finite value are left out."""
    usable = draws[np.isfinite(draws)]
    if not len(usable):
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.percentile(usable, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def sums_by_text(text: Ints, columns: Sequence[Floats]) -> Floats:
    """Sums of each column over the rows of a text: [texts that occur, columns]."""
    _, number = np.unique(text, return_inverse=True)
    size = int(number.max()) + 1 if len(number) else 0
    return np.stack([np.bincount(number, weights=column, minlength=size) for column in columns], axis=1)


def bootstrap(
    parts: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Estimate | None]:
    """Statistics of sums over texts, each with its interval; None where one is not defined.

    Since a statistic is a function of sums, each block of resamples is one matrix product.

    Args:
        parts: [texts, parts]: what each text adds to the sums.
        statistic: sums [resamples, parts] to values [resamples, statistics], nan where undefined.
        rng: draws the resamples.
        resamples: how many.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        point = statistic(parts.sum(axis=0, keepdims=True))[0]
        if not len(parts):
            return [None] * len(point)
        draws = np.concatenate([statistic(weights @ parts) for weights in resampled(len(parts), rng, resamples)])
    return [
        estimate_of(value, draws[:, i]) if np.isfinite(value) and np.isfinite(draws[:, i]).any() else None
        for i, value in enumerate(point)
    ]


def wilson(hits: int, of: int, *, least: int = 1) -> Estimate | None:
    """A share with its 95% interval (Wilson 1927); None of fewer than `least`."""
    if of < max(1, least):
        return None
    # SciPy's statistics are slow to import, and only reports need them.
    from scipy.stats import binomtest

    interval = binomtest(hits, of).proportion_ci(method="wilson")
    return Estimate(hits / of, float(interval.low), float(interval.high))
