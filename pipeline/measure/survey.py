"""Shares that are estimated from a sample whose members had different chances of being drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.measure.intervals import Estimate, wilson

#: the normal quantile of a 95% interval
_Z = 1.959963984540054


def weighted_share(hits: Sequence[bool], probabilities: Sequence[float]) -> Estimate | None:
    """The share of a population that has a property, from a sample of it, with a 95% interval; None of no sample.

    Each member counts with the inverse of its inclusion probability, and the weights are normalised (Hájek 1971, the
    ratio form of the estimator of Horvitz & Thompson 1952). Where all probabilities are equal this is the plain share,
    with Wilson's interval (1927). Where they differ, Wilson's interval is taken at the effective size of the sample:
    that at which a simple random sample has the variance that is estimated by linearisation (Franco, Little, Louis &
    Slud 2019, "Comparative study of confidence intervals for proportions in complex sample surveys"), and never more
    than Kish's size (1965), which is all that is known where every answer is the same.

    No correction is made for a large sample of a small population. So for the population at hand the interval is on
    the wide side; it is right for what the same filter will reject later.

    Args:
        hits: whether each member of the sample has the property.
        probabilities: the chance that each had of being drawn, above 0 and up to 1.
    """
    y = np.asarray(hits, dtype=np.float64)
    if not len(y):
        return None
    chances = np.asarray(probabilities, dtype=np.float64)
    if np.ptp(chances) <= 1e-9 * chances.max():
        return wilson(int(y.sum()), len(y))
    weights = 1 / chances
    weights /= weights.sum()
    share = float(weights @ y)
    size = float(1 / (weights @ weights))
    if 0 < share < 1:
        variance = len(y) / (len(y) - 1) * float((weights**2) @ (y - share) ** 2)
        size = min(size, share * (1 - share) / variance)
    centre = (share + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    half = _Z / (1 + _Z**2 / size) * math.sqrt(share * (1 - share) / size + (_Z / (2 * size)) ** 2)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))
