"""Metrics of probabilities: per label, with intervals. The one place where models are measured.

A label's unknown texts are left out of its metrics. Every label is measured on the same resampled texts, so that macro
averages have intervals too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, LabelMatrix, Scores
from pipeline.measure.intervals import RESAMPLES, Estimate, estimate_of, resampled

#: least number of positives and of negatives to measure a label with
LEAST = 2
#: least number of texts of a language with figures of its own
LEAST_SLICE = 30


@dataclass(frozen=True, slots=True)
class LabelMetrics:
    """Metrics of one label on the texts where it is known."""

    positives: int
    negatives: int
    average_precision: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    #: expected calibration error over 15 bins of equal count, 0 to 1
    calibration_error: float
    #: mean squared error of the probability (Brier 1950)
    brier: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a model on one set of texts."""

    texts: int
    labels: Mapping[str, LabelMetrics]
    #: means over the labels that could be measured
    macro_average_precision: Estimate
    macro_f1: Estimate
    #: over all known pairs of text and label
    micro_average_precision: Estimate
    micro_f1: Estimate
    #: labels with too few positives or negatives to be measured
    unmeasured: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        return plain


def average_precision(probabilities: Floats, truth: Booleans, weights: Floats | None = None) -> float:
    """Area under the precision-recall curve as a step function, ties taken together; nan without a positive."""
    ranking = Ranking.of(probabilities, truth)
    return float(ranking.average_precision(np.ones((1, len(truth))) if weights is None else weights[None, :])[0])


def calibration_error(probabilities: Floats, truth: Booleans, bins: int = 15) -> float:
    """Mean distance between probability and frequency over bins of equal count (Nguyen & O'Connor 2015)."""
    if not len(truth):
        return float("nan")
    order = np.argsort(probabilities, kind="stable")
    error = 0.0
    for rows in np.array_split(order, min(bins, len(order))):
        error += abs(float(probabilities[rows].mean()) - float(truth[rows].mean())) * len(rows)
    return error / len(order)


def measurable(truth: LabelMatrix) -> list[int]:
    """The columns of [texts, labels] that have positives and negatives enough to be measured."""
    return [i for i in range(truth.shape[1]) if (truth[:, i] == 1).sum() >= LEAST and (truth[:, i] == 0).sum() >= LEAST]


def measure(
    probabilities: Scores,
    truth: LabelMatrix,
    labels: Sequence[str],
    given: Booleans,
    *,
    thresholds: Mapping[str, float],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Metrics:
    """Measure a model on held-out texts.

    Args:
        probabilities: [texts, labels].
        truth: [texts, labels]; 1, 0 or unknown.
        labels: keys of the columns.
        given: [texts, labels]: whether the model gives the label.
        thresholds: probability from which each label is given, to be reported.
        rng: draws the resamples.
        resamples: how many.
    """
    known = truth != UNKNOWN
    enough = measurable(truth)
    columns = [Column.of(probabilities[:, i], truth[:, i], given[:, i]) for i in enough]
    pooled = Column.of(
        probabilities[:, enough].ravel(), np.where(known, truth, UNKNOWN)[:, enough].ravel(), given[:, enough].ravel()
    )
    points = [column.statistics(np.ones((1, len(truth)))) for column in columns]
    micro_point = pooled.statistics(np.ones((1, len(truth) * len(enough))))
    draws: list[list[Floats]] = [[] for _ in columns]
    micro_draws: list[Floats] = []
    for weights in resampled(len(truth), rng, resamples):
        for blocks, column in zip(draws, columns, strict=True):
            blocks.append(column.statistics(weights))
        if enough:
            micro_draws.append(pooled.statistics(np.repeat(weights, len(enough), axis=1)))
    drawn = [np.concatenate(blocks) for blocks in draws]
    by_label = {
        labels[i]: LabelMetrics(
            positives=int((truth[:, i] == 1).sum()),
            negatives=int((truth[:, i] == 0).sum()),
            average_precision=estimate_of(point[0, 0], draw[:, 0]),
            precision=estimate_of(point[0, 1], draw[:, 1]),
            recall=estimate_of(point[0, 2], draw[:, 2]),
            f1=estimate_of(point[0, 3], draw[:, 3]),
            calibration_error=calibration_error(probabilities[known[:, i], i], truth[known[:, i], i] == 1),
            brier=float(np.mean((probabilities[known[:, i], i] - truth[known[:, i], i]) ** 2)),
            threshold=thresholds[labels[i]],
        )
        for i, point, draw in zip(enough, points, drawn, strict=True)
    }
    nothing = np.full((1, 4), np.nan)
    mean_point = np.mean(points, axis=0) if points else nothing
    mean_draw = np.mean(drawn, axis=0) if drawn else nothing
    micro_draw = np.concatenate(micro_draws) if micro_draws else nothing
    micro_point = micro_point if enough else nothing
    return Metrics(
        texts=len(truth),
        labels=by_label,
        macro_average_precision=estimate_of(mean_point[0, 0], mean_draw[:, 0]),
        macro_f1=estimate_of(mean_point[0, 3], mean_draw[:, 3]),
        micro_average_precision=estimate_of(micro_point[0, 0], micro_draw[:, 0]),
        micro_f1=estimate_of(micro_point[0, 3], micro_draw[:, 3]),
        unmeasured=[label for i, label in enumerate(labels) if i not in enough],
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """Texts in falling order of probability, sorted once for all resamples."""

    order: NDArray[np.int64]
    truth: Booleans
    #: last place of each run of equal probabilities
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, probabilities: Floats, truth: Booleans) -> Ranking:
        order = np.argsort(-probabilities, kind="stable")
        ranked = probabilities[order]
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, np.int64)
        return cls(order, truth[order], ends)

    def curve(self, weights: Floats) -> tuple[Floats, Floats]:
        """Positives and texts above each possible cut [resamples, cuts] under weights [resamples, texts]."""
        ranked = weights[:, self.order]
        hits = np.cumsum(ranked * self.truth, axis=1)[:, self.ends]
        return hits, np.cumsum(ranked, axis=1)[:, self.ends]

    def average_precision(self, weights: Floats) -> Floats:
        """One value for each row of weights [resamples, texts]."""
        return area(*self.curve(weights)) if len(self.ends) else np.full(len(weights), np.nan)


def area(hits: Floats, seen: Floats) -> Floats:
    """Average precision of each row of what `Ranking.curve` gives; nan without a positive."""
    gained = np.diff(hits, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen > 0, hits / seen, 0)
        return np.asarray((precision * gained).sum(axis=1) / hits[:, -1])


@dataclass(frozen=True, slots=True)
class Column:
    """One label's known texts."""

    known: NDArray[np.int64]
    truth: Booleans
    given: Booleans
    ranking: Ranking

    @classmethod
    def of(cls, probabilities: Floats, truth: NDArray[np.int8], given: Booleans) -> Self:
        """The column of one label; `truth` has `UNKNOWN` where the label is not known."""
        known = np.flatnonzero(truth != UNKNOWN)
        yes = truth[known] == 1
        return cls(known, yes, given[known], Ranking.of(probabilities[known], yes))

    def sums(self, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """The weights of the known texts, and their sums where the label is given and true, given, and true.

        The first is [resamples, known texts], each sum [resamples].

        Args:
            weights: [resamples, all texts].
        """
        own = weights[:, self.known]
        right = own @ (self.truth & self.given)
        given = own @ self.given.astype(np.float64)
        return own, right, given, own @ self.truth.astype(np.float64)

    def statistics(self, weights: Floats) -> Floats:
        """[resamples, 4]: average precision, precision, recall, F1 under weights [resamples, all texts]."""
        own, right, given, true = self.sums(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(given > 0, right / given, np.nan)
            recall = np.where(true > 0, right / true, np.nan)
            f1 = np.where(given + true > 0, 2 * right / (given + true), np.nan)
        return np.stack([self.ranking.average_precision(own), precision, recall, f1], axis=1)


def rounded(value: Any) -> Any:
    """Plain values with numbers rounded to four places; a value that is not finite becomes None."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value
