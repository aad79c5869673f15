"""The histogram of a label's scores: edges that a person can type, and the counts on either side of any of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: largest number of bins
MOST_BINS = 400
#: least width of a bin: closer scores differ by rounding only
_LEAST_STEP = 1e-4


def stored(score: float) -> float:
    """A score or cut as the store compares it: the nearest number of single precision.

    A number that is read back from the store has fewer digits than that, and must be made so again.
    """
    return float(np.float32(score))


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of equal width, whose edges are multiples of the width: each edge is a cut with few digits."""

    #: the lowest edge is `first * step`
    first: int
    #: 1, 2 or 5 times a power of ten
    step: float
    number: int

    @property
    def digits(self) -> int:
        """Digits behind the point that an edge has."""
        return digits_of(self.step)

    @property
    def edges(self) -> list[float]:
        """The edges as a person types them, [number + 1], ascending."""
        return [self.edge(i) for i in range(self.number + 1)]

    def edge(self, i: int) -> float:
        """The edge below bin `i`."""
        return round((self.first + i) * self.step, self.digits)


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Numbers of a label's texts by score."""

    bins: Bins
    #: texts from each edge, that included, to the next, [number]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All texts."""
        return sum(self.counts)

    def dropped_at(self, cut: float) -> int | None:
        """Number of texts below a cut; None where it lies inside a bin, so that the histogram cannot tell."""
        if not self.counts or cut <= self.bins.edge(0):
            return 0
        if cut >= self.bins.edge(self.bins.number):
            # The last bin holds no text on its upper edge.
            return self.total
        place = cut / self.bins.step - self.bins.first
        nearest = round(place)
        # A stored cut is off its edge by the rounding of single precision.
        if abs(stored(self.bins.edge(nearest)) - stored(cut)) > 0:
            index = min(math.floor(place), self.bins.number - 1)
            # The division may round a cut just below an edge up to it.
            index -= self.bins.edge(index) > cut
            return None if self.counts[index] else sum(self.counts[:index])
        return sum(self.counts[:nearest])


def digits_of(step: float) -> int:
    """Digits behind the point of the multiples of a step."""
    return max(0, -math.floor(math.log10(step) + 1e-9))


def choose_bins(low: float, high: float, most: int = MOST_BINS) -> Bins:
    """The narrowest bins that hold all scores, at most `most` of them, and never narrower than 0.0001.

    Args:
        low: the least score.
        high: the greatest score, not below `low`.
        most: largest number of bins, at least 2.
    """
    low, high = stored(low), stored(high)
    power = 10.0 ** math.floor(math.log10(max((high - low) / most, _LEAST_STEP)) - 1)
    while True:
        for factor in (1, 2, 5):
            step = float(f"{factor * power:.0e}")
            first = math.floor(low / step)
            # A score may lie on an edge only in single precision, so the bin below it is there too.
            if stored(round(first * step, digits_of(step))) > low:
                first -= 1
            number = math.floor(high / step) + 1 - first
            if stored(round((first + number) * step, digits_of(step))) <= high:
                number += 1
            if number <= most and step >= _LEAST_STEP:
                return Bins(first, step, number)
        power *= 10


def coarser(histogram: ScoreHistogram, most: int) -> list[tuple[float, float, int]]:
    """At most `most` bars that hold the same counts, for a picture: lower edge, upper edge, number of texts."""
    width = max(1, math.ceil(histogram.bins.number / most))
    bars = []
    for start in range(0, histogram.bins.number, width):
        end = min(start + width, histogram.bins.number)
        bars.append((histogram.bins.edge(start), histogram.bins.edge(end), sum(histogram.counts[start:end])))
    return bars


def count_scores(scores: Sequence[float]) -> ScoreHistogram:
    """The histogram of scores that are at hand; the store counts its own (`pipeline.filters.summary`)."""
    if not scores:
        return ScoreHistogram(Bins(0, 1.0, 0), ())
    bins = choose_bins(min(scores), max(scores))
    edges = np.array([stored(edge) for edge in bins.edges])
    places = np.searchsorted(edges, np.asarray(scores, dtype=np.float64), side="right") - 1
    return ScoreHistogram(bins, tuple(np.bincount(places, minlength=bins.number).tolist()))
