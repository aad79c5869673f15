"""Calibration: from a classifier's raw decisions to probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotEnoughLabels
from pipeline.measure.arrays import Floats

#: smallest size of decisions that slopes are fitted to
_LEAST_SCALE = 1e-100


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """p = 1 / (1 + exp(-(slope * decision + offset))), Platt's scaling."""

    slope: float
    offset: float

    def __call__(self, decisions: Floats) -> Floats:
        """Probabilities of the decisions."""
        # a decision far below makes an infinite exponential, and rightly the probability 0
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-(self.slope * decisions + self.offset))))


def fit_sigmoid(decisions: Floats, truth: NDArray[np.bool_]) -> Sigmoid:
    """Fit on held-out decisions by maximum likelihood with smoothed targets (Platt 1999, section 2.2).

    The smoothing keeps the slope finite on a handful of texts that happen to be separable; the slope is never
    negative, so calibration never reverses an order.

    Raises:
        NotEnoughLabels: the truth is all true or all false.
    """
    # SciPy takes long to import, and who gives labels needs it not.
    from scipy.optimize import minimize
    from scipy.special import expit

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        raise NotEnoughLabels("calibration needs held-out texts that assert the label and some that deny it")
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    spread, largest = float(np.std(decisions)), float(np.max(np.abs(decisions)))
    # equal decisions have a spread of nothing but rounding, in which their size would be immense; and decisions of
    # hardly any size would need a slope that no number holds
    scale = max(spread if spread > 1e-9 * largest else largest or 1.0, _LEAST_SCALE)
    scaled = decisions / scale

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logits = parameters[0] * scaled + parameters[1]
        residual = expit(logits) - target
        value = np.logaddexp(0, logits) - target * logits
        return float(value.mean()), np.array([(residual * scaled).mean(), residual.mean()])

    start = np.array([1.0, np.log((positives + 1) / (negatives + 1))])
    result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(1e-6, None), (None, None)])
    return Sigmoid(float(result.x[0] / scale), float(result.x[1]))
