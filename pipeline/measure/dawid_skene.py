"""Dawid and Skene's model of one label (1979, Applied Statistics 28), by expectation and maximisation.

With two answers, texts on which every rater says the same are alike to the model. There are few such patterns (five
raters make at most 243, "no answer" included), so texts are counted by pattern once, and an iteration costs as much
as there are patterns, not texts. Without smoothing the steps are those of `crowdkit.aggregation.DawidSkene`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import UNKNOWN, Floats

#: [texts, raters]: 1 asserted, 0 denied, -1 not judged
VoteMatrix = NDArray[np.int8]

#: number added to the hits and to the misses of each rater, so that few votes never make a rater infallible
SMOOTHING = 1.0
ITERATIONS = 1_000
#: gain of log-likelihood a vote below which the fit has converged
TOLERANCE = 1e-8
_LEAST = 1e-10
#: largest number of raters whose votes fit into one number in base 3
_PACKED = 39


@dataclass(frozen=True, slots=True)
class Fitted:
    """The fitted model of one label."""

    prevalence: float
    #: [raters], from 0 to 1; nan for a rater without a vote
    sensitivity: Floats
    #: the same for specificity
    specificity: Floats
    #: [texts]: probability of the label; nan for a text without a vote
    probability: Floats
    iterations: int
    converged: bool
    #: mean over the votes
    log_likelihood: float


def fit_dawid_skene(
    votes: VoteMatrix, *, smoothing: float = SMOOTHING, tolerance: float = TOLERANCE, iterations: int = ITERATIONS
) -> Fitted:
    """Estimate prevalence, sensitivities and specificities from the votes alone, beginning with the share of votes.

    Args:
        votes: [texts, raters].
        smoothing: pseudo-counts; 0: the plain maximum of the likelihood.
        tolerance: gain of log-likelihood a vote below which the fit stops.
        iterations: largest number of steps; after them `converged` is false.
    """
    judged = (votes != UNKNOWN).any(axis=1)
    patterns, place, counts = _patterns(votes[judged])
    yes = (patterns == 1).astype(np.float64)
    no = (patterns == 0).astype(np.float64)
    size = counts.astype(np.float64)
    total = float(((yes + no).sum(axis=1) * size).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        true = yes.sum(axis=1) / (yes + no).sum(axis=1)
    prevalence, sensitivity, specificity = _maximise(yes, no, true, size, smoothing)
    likelihood, converged, step = -np.inf, False, 0
    while step < iterations and total and not converged:
        true, reached = _expect(yes, no, size, prevalence, sensitivity, specificity)
        prevalence, sensitivity, specificity = _maximise(yes, no, true, size, smoothing)
        step += 1
        converged = abs(reached / total - likelihood) < tolerance
        likelihood = reached / total
    probability = np.full(len(votes), np.nan)
    probability[judged] = true[place]
    unused = (yes + no).sum(axis=0) == 0
    sensitivity[unused] = specificity[unused] = np.nan
    return Fitted(prevalence, sensitivity, specificity, probability, step, converged, float(likelihood))


def evidence(sensitivity: float, specificity: float, *, asserted: bool) -> float:
    """Log-odds that one vote of a rater adds to a label: the logarithm of its likelihood ratio."""
    if asserted:
        return math.log(sensitivity / (1 - specificity))
    return math.log((1 - sensitivity) / specificity)


def _patterns(votes: VoteMatrix) -> tuple[VoteMatrix, NDArray[np.int64], NDArray[np.int64]]:
    """The distinct rows, the number of the distinct row that each row equals, and the count of each."""
    if votes.shape[1] > _PACKED:
        distinct, place, counts = np.unique(votes, axis=0, return_inverse=True, return_counts=True)
        return distinct, place.ravel(), counts
    packed = np.zeros(len(votes), dtype=np.int64)
    for column in votes.T:
        packed = packed * 3 + column + 1
    _, first, place, counts = np.unique(packed, return_index=True, return_inverse=True, return_counts=True)
    return votes[first], place, counts


def _maximise(yes: Floats, no: Floats, true: Floats, size: Floats, smoothing: float) -> tuple[float, Floats, Floats]:
    with_label, without = true * size, (1 - true) * size

    def share(hits: Floats, misses: Floats) -> Floats:
        return np.asarray((hits + smoothing + _LEAST) / (hits + misses + 2 * (smoothing + _LEAST)))

    sensitivity = share(with_label @ yes, with_label @ no)
    specificity = share(without @ no, without @ yes)
    prevalence = float(with_label.sum() / max(size.sum(), _LEAST))
    return float(np.clip(prevalence, _LEAST, 1 - _LEAST)), sensitivity, specificity


def _expect(
    yes: Floats, no: Floats, size: Floats, prevalence: float, sensitivity: Floats, specificity: Floats
) -> tuple[Floats, float]:
    """The probability of the label for each pattern, and the log-likelihood of all votes."""
    with_label = np.log(prevalence) + yes @ np.log(sensitivity) + no @ np.log(1 - sensitivity)
    without = np.log(1 - prevalence) + yes @ np.log(1 - specificity) + no @ np.log(specificity)
    both = np.logaddexp(with_label, without)
    return np.exp(with_label - both), float(both @ size)
