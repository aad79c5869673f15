"""Comparison of two methods on gold texts, by a paired bootstrap over texts.

Neither method learns from gold, so no gold texts have to be held out; texts of the test set are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.ledger.consensus.combine import Combined
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, LabelMatrix
from pipeline.measure.intervals import RESAMPLES, Estimate, estimate_of, resampled
from pipeline.measure.metrics import Ranking, measurable, rounded


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of two methods, and the difference: second less first."""

    first: Estimate
    second: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Contest:
    """The comparison of two methods on the same gold texts."""

    #: gold texts with votes that count
    texts: int
    macro_f1: Pair
    macro_average_precision: Pair
    #: F1 by label, for labels that can be measured
    f1: Mapping[str, Pair]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        return plain


def contest(
    first: Combined,
    second: Combined,
    truth: LabelMatrix,
    labels: Sequence[str],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    ranked: bool = True,
) -> Contest:
    """Measure both methods against gold, with the same bootstrap weights. An undecided label counts as not given.

    Args:
        first: decisions of one method.
        second: decisions of the other method, on the same texts.
        truth: [texts, labels]: gold.
        labels: keys of the columns.
        rng: draws the resamples.
        resamples: number of resamples.
        ranked: True: compute average precision too, which takes most of the time.
    """
    voted = np.isfinite(first.probability) | np.isfinite(second.probability)
    known = np.where(voted, truth, UNKNOWN).astype(np.int8)
    rows = (known != UNKNOWN).any(axis=1)
    known = known[rows]
    columns = measurable(known)
    both = [_Side(known, way.decided[rows], way.probability[rows], columns, ranked) for way in (first, second)]
    points = [side.statistics(np.ones((1, len(known)))) for side in both]
    draws: list[list[Floats]] = [[], []]
    if columns:
        for weights in resampled(len(known), rng, resamples):
            for figures, side in zip(draws, both, strict=True):
                figures.append(side.statistics(weights))
    drawn = [np.concatenate(figures) if figures else np.full((1, len(columns), 2), np.nan) for figures in draws]
    f1, ap = ([(point[..., i], draw[..., i]) for point, draw in zip(points, drawn, strict=True)] for i in (0, 1))
    return Contest(
        texts=len(known),
        macro_f1=_macro(f1),
        macro_average_precision=_macro(ap),
        f1={labels[i]: _pair([(p[:, at], d[:, at]) for p, d in f1]) for at, i in enumerate(columns)},
    )


class _Side:
    """The decisions of one method on the gold texts."""

    def __init__(
        self, known: LabelMatrix, decided: LabelMatrix, probability: Floats, columns: Sequence[int], ranked: bool
    ) -> None:
        self._yes: Booleans = known[:, columns] == 1
        self._given: Booleans = (decided[:, columns] == 1) & (known[:, columns] != UNKNOWN)
        self._rankings = []
        if ranked:
            for i in columns:
                rows = np.flatnonzero(known[:, i] != UNKNOWN)
                # Where no vote counts for a method, its probability is 0.
                likely = np.nan_to_num(probability[rows, i], nan=0.0)
                self._rankings.append((rows, Ranking.of(likely, known[rows, i] == 1)))

    def statistics(self, weights: Floats) -> Floats:
        """F1 and average precision: array of shape [resamples, labels, 2]."""
        right = weights @ (self._yes & self._given).astype(np.float64)
        given, true = weights @ self._given.astype(np.float64), weights @ self._yes.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.where(true > 0, 2 * right / (given + true), np.nan)
        ap = np.full(f1.shape, np.nan)
        for at, (rows, ranking) in enumerate(self._rankings):
            ap[:, at] = ranking.average_precision(weights[:, rows])
        return np.stack([f1, ap], axis=-1)


def _macro(sides: list[tuple[Floats, Floats]]) -> Pair:
    return _pair([(_mean(point), _mean(draw)) for point, draw in sides])


def _mean(values: Floats) -> Floats:
    usable = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(usable, values, 0).sum(axis=1) / usable.sum(axis=1))


def _pair(sides: list[tuple[Floats, Floats]]) -> Pair:
    (first, first_draws), (second, second_draws) = sides
    return Pair(
        estimate_of(float(first[0]), first_draws),
        estimate_of(float(second[0]), second_draws),
        estimate_of(float(second[0] - first[0]), second_draws - first_draws),
    )
