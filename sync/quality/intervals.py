"""How sure a figure is: bootstraps over texts, and how far one rater stands from the others.

Texts are what is resampled, since the answers to one text are not independent (Efron & Tibshirani 1993, chapter 13). A
statistic is a function of sums over texts, so that all resamples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import betabinom

from pipeline.measure.arrays import Floats, Ints
from pipeline.measure.metrics import Estimate

RESAMPLES = 1_000
#: resamples whose weights are held in memory together
_BLOCK = 50
#: raters differ by nature: the least overdispersion that is ever assumed of their shares
_LEAST_SPREAD = 0.03
_MOST_SPREAD = 0.5
#: a median absolute deviation times this estimates a standard deviation
_MAD = 1.4826
#: fewer others than this are no yardstick
LEAST_OTHERS = 2


def by_text(text: Ints, columns: Sequence[Floats]) -> Floats:
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
    """Statistics of sums over texts, each with its 95% percentile interval; None where one is not defined.

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
        drawn = []
        for start in range(0, resamples, _BLOCK):
            size = min(_BLOCK, resamples - start)
            weights = rng.multinomial(len(parts), np.full(len(parts), 1 / len(parts)), size=size)
            drawn.append(statistic(weights.astype(np.float64) @ parts))
    draws = np.concatenate(drawn)
    return [_estimate(float(value), draws[:, i]) for i, value in enumerate(point)]


def _estimate(value: float, draws: Floats) -> Estimate | None:
    usable = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(usable):
        return None
    low, high = np.percentile(usable, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def spread_of(hits: Sequence[int], of: Sequence[int]) -> tuple[float, float]:
    """The middle of raters' shares, and how much they differ beyond chance (0 to 1, as the beta-binomial has it).

    Median and median absolute deviation, so that one bad rater among the others does not hide a second.
    """
    n = np.asarray(of, dtype=np.float64)
    shares = (np.asarray(hits, dtype=np.float64) + 0.5) / (n + 1)
    middle = float(np.median(shares))
    deviation = _MAD * float(np.median(np.abs(shares - middle)))
    chance = float(np.mean(middle * (1 - middle) / n))
    spread = max(0.0, deviation**2 - chance) / (middle * (1 - middle))
    return middle, float(np.clip(spread, _LEAST_SPREAD, _MOST_SPREAD))


def tails(hits: int, of: int, *, others_hits: Sequence[int], others_of: Sequence[int]) -> tuple[float, float, float]:
    """How likely so few, and so many, hits are for a rater like the others (beta-binomial), and the others' middle."""
    middle, spread = spread_of(others_hits, others_of)
    weight = 1 / spread - 1
    like_others = betabinom(of, middle * weight, (1 - middle) * weight)
    return float(like_others.cdf(hits)), float(like_others.sf(hits - 1)), middle
