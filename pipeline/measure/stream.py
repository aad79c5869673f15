"""Metrics of a model on the stream, from texts that were drawn with unequal inclusion probabilities.

The queue draws texts with unequal, known inclusion probabilities. A text that was drawn with probability p stands for
1/p texts: the sum of such weights is the Horvitz-Thompson estimate of a total (Horvitz & Thompson 1952), and a ratio of
two of them is Hajek's estimate of a mean (Hajek 1971; Särndal, Swensson & Wretman 1992, section 5.7). Precision, recall
and prevalence are such ratios, and average precision is made of them. The unweighted figure stands beside each, so that
the effect of the queue's choice can be seen.

A label's unknown texts are left out of its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.measure.arrays import Booleans, Floats, LabelMatrix, Scores
from pipeline.measure.intervals import RESAMPLES, Estimate, estimate_of, resampled
from pipeline.measure.metrics import Column, rounded


@dataclass(frozen=True, slots=True)
class HajekEstimate:
    """One figure of the stream, weighted by the inverse inclusion probabilities, and the same figure unweighted."""

    weighted: Estimate
    unweighted: Estimate


@dataclass(frozen=True, slots=True)
class StreamLabel:
    """One label on the texts where it is known."""

    positives: int
    negatives: int
    #: positives of the stream (Horvitz-Thompson)
    total: Estimate
    #: share of the texts that have the label
    prevalence: HajekEstimate
    precision: HajekEstimate
    recall: HajekEstimate
    average_precision: HajekEstimate
    #: number of evenly drawn texts with the same information (Kish 1965): at most the number of texts
    effective_texts: float


@dataclass(frozen=True, slots=True)
class StreamMetrics:
    """A model on the stream."""

    texts: int
    #: texts that these stand for (Horvitz-Thompson)
    total: Estimate
    effective_texts: float
    labels: Mapping[str, StreamLabel]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        return plain


def weighted_metrics(
    probabilities: Scores,
    truth: LabelMatrix,
    given: Booleans,
    labels: Sequence[str],
    inclusion: Floats,
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> StreamMetrics:
    """Measure a model on texts that were drawn with unequal inclusion probabilities.

    Intervals are percentile bootstraps over texts, each with its weight: the inclusion probabilities themselves are
    known.

    Args:
        probabilities: [texts, labels].
        truth: [texts, labels]; 1, 0 or unknown.
        given: [texts, labels]: whether the model gives the label.
        labels: keys of the columns.
        inclusion: [texts], the inclusion probability of each, above 0 and at most 1.
        rng: draws the resamples.
        resamples: how many.

    Raises:
        ValueError: an inclusion probability is out of its range.
    """
    if not ((inclusion > 0) & (inclusion <= 1)).all():
        raise ValueError("an inclusion probability is above 0 and at most 1")
    weights = 1 / inclusion
    columns = [_StreamColumn.of(probabilities[:, i], truth[:, i], given[:, i]) for i in range(len(labels))]
    once = np.ones((1, len(truth)))
    points = [(column.statistics(once * weights), column.statistics(once)) for column in columns]
    draws: list[list[tuple[Floats, Floats]]] = [[] for _ in columns]
    totals: list[Floats] = []
    for times in resampled(len(truth), rng, resamples):
        totals.append(times @ weights)
        for blocks, column in zip(draws, columns, strict=True):
            blocks.append((column.statistics(times * weights), column.statistics(times)))
    measured = {}
    for label, column, point, blocks in zip(labels, columns, points, draws, strict=True):
        if not len(column.known):
            continue
        drawn = [np.concatenate([pair[side] for pair in blocks]) for side in (0, 1)]
        ratios = [
            HajekEstimate(*(estimate_of(point[side][0, i], drawn[side][:, i]) for side in (0, 1))) for i in range(4)
        ]
        measured[label] = StreamLabel(
            positives=int(column.truth.sum()),
            negatives=int((~column.truth).sum()),
            total=estimate_of(point[0][0, 4], drawn[0][:, 4]),
            prevalence=ratios[0],
            precision=ratios[1],
            recall=ratios[2],
            average_precision=ratios[3],
            effective_texts=effective(weights[column.known]),
        )
    total = estimate_of(float(weights.sum()), np.concatenate(totals)) if totals else estimate_of(0.0, np.zeros(0))
    return StreamMetrics(len(truth), total, effective(weights), measured)


def effective(weights: Floats) -> float:
    """Number of evenly weighted texts with as much information (Kish 1965): the squared sum over the sum of squares."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


class _StreamColumn(Column):
    """One label's known texts, with the figures of the stream."""

    def statistics(self, weights: Floats) -> Floats:
        """[resamples, 5] under weights: prevalence, precision, recall, average precision, positives."""
        own, right, given, true = self.sums(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = [true / own.sum(axis=1), right / given, right / true]
        return np.stack([*ratios, self.ranking.average_precision(own), true], axis=1)
