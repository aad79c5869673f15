"""Policies: how strict an application is, as targets that become thresholds by the model's own figures on dev texts.

A target says for a label which precision or recall is wanted. The threshold that reaches it is read off the curve of
precision and recall that the training stored, so the same policy means the same with the next champion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline.models.thresholds import Objective, Threshold, parse_objective

#: points of a stored curve
_POINTS = 100
#: digits of a stored value
_DIGITS = 5


class DevCurve(BaseModel):
    """Precision and recall of one label on the dev texts at some thresholds, from the highest threshold on."""

    model_config = ConfigDict(frozen=True)

    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    #: dev texts that have the label, and that do not
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The strictness of an application."""

    name: str
    #: of labels that `labels` does not name; None: the model's own thresholds
    default: Objective | None = None
    labels: Mapping[str, Objective] = field(default_factory=dict)
    #: keep the texts that applications ask about, masked
    store_texts: bool = False

    def to_dict(self) -> dict[str, object]:
        """The policy as plain values."""
        return {
            "name": self.name,
            "default": None if self.default is None else str(self.default),
            "labels": {label: str(target) for label, target in self.labels.items()},
            "store_texts": self.store_texts,
        }


#: policies that are always there: the model's own thresholds; more is caught; less is caught wrongly
BUILT_IN: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy("balanced"),
        Policy("strict", Objective("recall", 0.9)),
        Policy("lenient", Objective("precision", 0.9)),
    )
}


@dataclass(frozen=True, slots=True)
class PolicyThreshold:
    """The threshold of one label under a policy, with what to expect of it."""

    label: str
    threshold: float
    target: str
    #: on the dev texts; None: the model was trained before these figures were stored
    precision: float | None
    recall: float | None
    #: true where the target was reached on the dev texts
    reached: bool


def parse_policy(name: str, default: str | None, labels: Mapping[str, str], *, store_texts: bool = False) -> Policy:
    """A policy from words: `precision=0.9`, `recall=0.8` or `f1` for each target.

    Raises:
        UsageError: a target is none of these.
    """
    return Policy(
        name,
        parse_objective(default) if default else None,
        {label: parse_objective(target) for label, target in labels.items()},
        store_texts,
    )


def dev_curve(probabilities: NDArray[np.float64], truth: NDArray[np.bool_]) -> DevCurve:
    """The curve of one label, thinned to a hundred points.

    Args:
        probabilities: calibrated probabilities of the dev texts whose label is known, [texts].
        truth: whether they have it, [texts].
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(truth[order])
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    below = np.append(ranked[1:], 0.0)[ends]
    middle = (ranked[ends] + below) / 2
    thresholds = np.where(middle > below, middle, ranked[ends])
    precision, recall = hits[ends] / (ends + 1), hits[ends] / max(1, int(truth.sum()))
    # Where recall does not grow, the first of the points has the best precision.
    useful = np.flatnonzero(np.append(True, recall[1:] > recall[:-1]))
    if len(useful) > _POINTS:
        useful = useful[np.unique(np.linspace(0, len(useful) - 1, _POINTS).round().astype(int))]
    return DevCurve(
        thresholds=_rounded(thresholds[useful]),
        precision=_rounded(precision[useful]),
        recall=_rounded(recall[useful]),
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
    )


def threshold_for(curve: DevCurve, target: Objective) -> Threshold:
    """The threshold of a curve that meets a target best; if it cannot be reached, the nearest one.

    The rule is that of `pipeline.models.thresholds.choose_threshold`, over the curve's points.
    """
    precision, recall = np.array(curve.precision), np.array(curve.recall)
    if target.kind == "f1":
        best, reached = int(np.argmax(2 * precision * recall / np.maximum(precision + recall, 1e-12))), True
    else:
        wanted, other = (precision, recall) if target.kind == "precision" else (recall, precision)
        enough = wanted >= target.target - 10**-_DIGITS
        reached = bool(enough.any())
        best = int(np.argmax(np.where(enough, other, -1))) if reached else int(np.argmax(wanted + other * 1e-6))
    return Threshold(curve.thresholds[best], float(precision[best]), float(recall[best]), reached)


def apply_policy(
    policy: Policy, own: Mapping[str, float], curves: Mapping[str, DevCurve]
) -> dict[str, PolicyThreshold]:
    """The threshold of each label under a policy.

    Args:
        policy: the policy.
        own: the model's own threshold of each label.
        curves: the model's dev curve of each label; labels without one keep their own threshold.
    """
    applied = {}
    for label, threshold in own.items():
        target, curve = policy.labels.get(label, policy.default), curves.get(label)
        if target is None or curve is None:
            expected = _expected(curve, threshold) if curve is not None else (None, None)
            words = "the model's own" if target is None else str(target)
            applied[label] = PolicyThreshold(label, threshold, words, *expected, reached=target is None)
        else:
            met = threshold_for(curve, target)
            applied[label] = PolicyThreshold(label, met.value, str(target), met.precision, met.recall, met.reached)
    return applied


def _expected(curve: DevCurve, threshold: float) -> tuple[float | None, float | None]:
    """Precision and recall at the lowest stored threshold that is not below this one."""
    # stored ones are rounded, so that the model's own may seem to lie above the one that it is
    at = [i for i, value in enumerate(curve.thresholds) if value >= threshold - 10.0**-_DIGITS]
    return (curve.precision[at[-1]], curve.recall[at[-1]]) if at else (None, 0.0)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), _DIGITS) for value in values)
