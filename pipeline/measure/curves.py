"""Curves of one label as points: precision over recall with a bootstrap band, and reliability with intervals.

Both are for pages that draw them: few points, plain numbers, no pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import Booleans, Floats
from pipeline.measure.intervals import RESAMPLES, resampled, wilson
from pipeline.measure.metrics import Ranking

#: recalls at which precision is given
RECALLS: tuple[float, ...] = tuple(round(i / 50, 2) for i in range(1, 51))
#: bins of a reliability curve, of equal count
BINS = 10


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Precision at one recall, with its 95% interval."""

    recall: float
    precision: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Texts of nearly the same probability, and how many of them have the label, with the 95% interval."""

    texts: int
    #: mean probability
    probability: float
    #: share of the texts that have the label
    frequency: float
    low: float
    high: float


def precision_recall(
    probabilities: Floats,
    truth: Booleans,
    *,
    rng: np.random.Generator,
    recalls: Sequence[float] = RECALLS,
    resamples: int = RESAMPLES,
) -> list[CurvePoint]:
    """Precision at each recall: that of the highest cut that reaches it. Ties of probability are taken together.

    The band is a percentile bootstrap over texts, point by point. Resamples without a positive are left out.

    Args:
        probabilities: [texts].
        truth: [texts]: whether the text has the label.
        rng: draws the resamples.
        recalls: rising, above 0 and at most 1.
        resamples: how many.

    Returns:
        A point for each recall; none if no text has the label.
    """
    if not truth.any():
        return []
    ranking = Ranking.of(probabilities, truth)
    wanted = np.asarray(recalls, dtype=np.float64)
    value = _at(ranking, np.ones((1, len(truth))), wanted)[0]
    draws = np.concatenate([_at(ranking, weights, wanted) for weights in resampled(len(truth), rng, resamples)])
    usable = draws[np.isfinite(draws[:, 0])]
    low, high = np.percentile(usable, [2.5, 97.5], axis=0) if len(usable) else (value, value)
    return [
        CurvePoint(float(r), float(p), float(a), float(b)) for r, p, a, b in zip(wanted, value, low, high, strict=True)
    ]


def reliability(probabilities: Floats, truth: Booleans, *, bins: int = BINS) -> list[ReliabilityBin]:
    """Frequency of a label beside its mean probability, over bins of equal count in rising order of probability.

    Intervals are Wilson's: a resample of a bin in which no text has the label would never have one either.
    """
    if not len(truth):
        return []
    curve = []
    for rows in np.array_split(np.argsort(probabilities, kind="stable"), min(bins, len(truth))):
        share = wilson(int(truth[rows].sum()), len(rows))
        assert share is not None
        curve.append(ReliabilityBin(len(rows), float(probabilities[rows].mean()), share.value, share.low, share.high))
    return curve


def _at(ranking: Ranking, weights: Floats, recalls: Floats) -> Floats:
    """Precision at each recall [resamples, recalls] under weights [resamples, texts]; nan without a positive."""
    hits, seen = ranking.curve(weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen > 0, hits / seen, 1.0)
    values = np.full((len(weights), len(recalls)), np.nan)
    for row, (gained, precise) in enumerate(zip(hits, precision, strict=True)):
        if gained[-1] > 0:
            # rounding must not put a recall that is reached exactly beyond its cut
            places = np.searchsorted(gained, recalls * gained[-1] - 1e-9, side="left")
            values[row] = precise[np.minimum(places, len(gained) - 1)]
    return values
