"""Cuts: from the similarities of a label's texts to the similarity below which the label is rejected.

A cut always comes with a sentence that gives its numbers, which is stored with every decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotEnoughVectors, UsageError

Method = Literal["quantile", "robust-z", "mixture"]
METHODS: tuple[Method, ...] = get_args(Method)
Similarities = NDArray[np.float64]

#: factor from the median absolute deviation to the standard deviation of normal data (Rousseeuw & Croux 1993)
_MAD_SCALE = 1.4826
#: the same for the mean absolute deviation, which is used where more than half of the values are equal
_MEAN_AD_SCALE = 1.2533
#: least distance of two normal components (Ashman, Bird & Zepf 1994, "Detecting bimodality", eq. 3)
_MIN_ASHMAN_D = 2.0
#: largest number of order statistics that a mixture is fitted to: they keep the shape, and limit the time
_FITTED = 2_000
#: least number of similarities for a mixture
_MIN_FITTED = 20
#: gain of log-likelihood a text below which fitting ends, and largest number of steps
_SETTLED, _STEPS = 1e-6, 1_000
#: least variance and mass of a component, so that neither becomes 0
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Cut:
    """Method of a label's cut, with its parameters.

    Raises:
        UsageError: a parameter is outside its range.
    """

    method: Method = "mixture"
    #: `quantile`: the share with the lowest similarity, which is rejected
    quantile: float = 0.10
    #: `robust-z`: largest distance of a text below the median, in robust standard deviations
    z: float = 2.5
    #: share of a prototype's texts, the least similar, that is left out of its mean
    trim: float = 0.10
    #: least number of vectors of a label to be filtered
    min_support: int = 30
    #: share of the rejected texts that goes to people
    review_share: float = 0.05
    #: least number of rejected texts that go to people
    review_min: int = 20

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"cut method {self.method!r} is not known: use {', '.join(METHODS)}")
        for name, value, fits, allowed in (
            ("quantile", self.quantile, 0 <= self.quantile < 1, "from 0 to below 1"),
            ("z", self.z, self.z > 0, "more than 0"),
            ("trim", self.trim, 0 <= self.trim <= 0.5, "from 0 to 0.5"),
            ("min_support", self.min_support, self.min_support >= 2, "at least 2"),
            ("review_share", self.review_share, 0 <= self.review_share <= 1, "from 0 to 1"),
            ("review_min", self.review_min, self.review_min >= 0, "0 or more"),
        ):
            if not fits:
                raise UsageError(f"{name}={value} is out of range: give {allowed}")


@dataclass(frozen=True, slots=True)
class ChosenCut:
    """A label's cut. Texts below `value` are rejected; texts on it are kept."""

    #: in single precision, as similarities are stored
    value: float
    #: the method that chose it: another than the one asked for where that one has no result, or `by-hand`
    method: Method | Literal["by-hand"]
    #: the numbers behind it, in a few words
    reason: str


def choose_cut(similarities: Similarities, cut: Cut) -> ChosenCut:
    """The similarity below which texts are rejected. The same values in any order give the same cut.

    Args:
        similarities: one number a text, [n], finite; higher is closer.
        cut: the method and its parameters.

    Raises:
        NotEnoughVectors: there are no similarities.
    """
    ordered = np.sort(np.asarray(similarities, dtype=np.float64))
    if not len(ordered):
        raise NotEnoughVectors("there are no similarities to choose a cut from: run `saring embed` first")
    if cut.method == "quantile":
        chosen = _quantile(ordered, cut.quantile)
    elif cut.method == "robust-z":
        chosen = _robust_z(ordered, cut.z)
    else:
        chosen = _mixture(ordered, cut.z)
    stored = np.float32(chosen.value)
    if float(stored) > chosen.value:
        # A cut that is rounded up could reject a text that lies on it.
        stored = np.nextafter(stored, np.float32(-np.inf))
    return replace(chosen, value=float(stored))


def _quantile(ordered: Similarities, share: float) -> ChosenCut:
    value = float(np.quantile(ordered, share, method="higher"))
    return ChosenCut(value, "quantile", f"quantile: the lowest {share:.0%} of {len(ordered)}")


def _robust_z(ordered: Similarities, z: float) -> ChosenCut:
    """Median minus z robust standard deviations (Iglewicz & Hoaglin 1993, "How to detect and handle outliers")."""
    median = float(np.median(ordered))
    away = np.abs(ordered - median)
    spread = _MAD_SCALE * float(np.median(away)) or _MEAN_AD_SCALE * float(away.mean())
    reason = f"robust-z: median {median:.3f} - {z:g} x {spread:.4f}"
    return ChosenCut(median - z * spread, "robust-z", reason)


def _mixture(ordered: Similarities, z: float) -> ChosenCut:
    """The valley between two normal components: where a text belongs to either with probability 0.5.

    The components must be told apart by BIC (Schwarz 1978) and by Ashman's D, and the lower one must be the smaller:
    otherwise it is the label itself, and the robust z-score decides.
    """
    result = _valley(ordered)
    if isinstance(result, ChosenCut):
        return result
    instead = _robust_z(ordered, z)
    return ChosenCut(instead.value, instead.method, f"{instead.reason}; no mixture: {result}")


def _valley(ordered: Similarities) -> ChosenCut | str:
    """The cut, or the reason why there is none."""
    if len(ordered) < _MIN_FITTED:
        return f"{len(ordered)} texts are too few"
    if ordered[0] == ordered[-1]:
        return "all are equally similar"
    picked = np.linspace(0, len(ordered) - 1, min(len(ordered), _FITTED)).round().astype(int)
    # Similarities of e5 lie within a few hundredths of each other, so values are standardised first.
    centre, scale = float(ordered.mean()), float(ordered.std())
    values = (ordered[picked] - centre) / scale
    fitted = _fit(values)
    if fitted is None:
        return "it did not converge"
    weights, means, variances, likelihood = fitted
    alone = -0.5 * len(values) * (np.log(2 * np.pi * values.var()) + 1)
    # Two components have three parameters more than one.
    gain = float(2 * (likelihood - alone) - 3 * np.log(len(values)))
    if gain <= 0:
        return f"BIC prefers one component by {-gain:.0f}"
    low, high = np.argsort(means)
    distance = np.sqrt(2) * (means[high] - means[low]) / np.sqrt(variances[low] + variances[high])
    if distance < _MIN_ASHMAN_D:
        return f"its components are not apart (Ashman's D {distance:.1f} < {_MIN_ASHMAN_D:g})"
    if weights[low] > 0.5:
        return f"its lower component holds {weights[low]:.0%}"

    def odds(x: float) -> float:
        terms = np.log(weights) - 0.5 * (np.log(variances) + (x - means) ** 2 / variances)
        return float(terms[low] - terms[high])

    if odds(means[low]) <= 0 or odds(means[high]) >= 0:
        return "no valley lies between its means"
    # It takes half a second to load, and few cuts need it.
    from scipy.optimize import brentq

    value = centre + scale * float(brentq(odds, means[low], means[high]))
    below, above = centre + scale * means[low], centre + scale * means[high]
    return ChosenCut(value, "mixture", f"mixture: means {below:.3f}/{above:.3f}, {weights[low]:.0%} in the lower")


def _fit(values: Similarities) -> tuple[Similarities, Similarities, Similarities, float] | None:
    """Weights, means and variances of two normal components, and the log-likelihood; None if they don't settle.

    Expectation-maximisation (Dempster, Laird & Rubin 1977) from quantiles, so that chance has no part in it.

    Args:
        values: [n], with mean 0 and variance 1.
    """
    weights: Similarities = np.array([0.1, 0.9])
    means: Similarities = np.asarray(np.quantile(values, [0.05, 0.6]), dtype=np.float64)
    variances: Similarities = np.array([0.5, 0.5])
    before = -np.inf
    for _ in range(_STEPS):
        away = (values - means[:, np.newaxis]) ** 2
        terms = np.log(weights / np.sqrt(2 * np.pi * variances))[:, np.newaxis] - away / (2 * variances[:, np.newaxis])
        total = np.logaddexp(terms[0], terms[1])
        likelihood = float(total.sum())
        if likelihood - before < _SETTLED * len(values):
            return weights, means, variances, likelihood
        before = likelihood
        belongs = np.exp(terms - total)
        mass = belongs.sum(axis=1) + _FLOOR
        weights = mass / mass.sum()
        means = belongs @ values / mass
        variances = (belongs * (values - means[:, np.newaxis]) ** 2).sum(axis=1) / mass + _FLOOR
    return None
