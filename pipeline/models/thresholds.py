"""Thresholds: the probability from which a label is given, chosen on held-out texts for a stated objective."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Objective:
    """The aim of a threshold: the best F1, or the highest recall at a precision, or the reverse."""

    kind: Literal["f1", "precision", "recall"] = "f1"
    #: value to reach, for `precision` and `recall`
    target: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind == "f1" else f"{self.kind}={self.target:g}"


def parse_objective(text: str) -> Objective:
    """`f1`, `precision=0.9` or `recall=0.8`.

    Raises:
        UsageError: it is none of these.
    """
    if text == "f1":
        return Objective()
    match = re.fullmatch(r"(precision|recall)=(0?\.\d+|1(?:\.0*)?)", text)
    if match is None or not float(match[2]) > 0:
        raise UsageError(
            f"objective {text!r} is not known: use f1, precision=P or recall=R, with P and R above 0 and at most 1"
        )
    return Objective("precision" if match[1] == "precision" else "recall", float(match[2]))


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold with its precision and recall on the texts that it was chosen on."""

    value: float
    precision: float
    recall: float
    #: true where the objective's target was reached
    reached: bool = True


def choose_threshold(
    probabilities: NDArray[np.float64], truth: NDArray[np.bool_], objective: Objective | None = None
) -> Threshold:
    """The threshold that meets the objective best; if its target cannot be reached, the nearest one.

    The threshold lies half-way between two neighbouring probabilities, so that it depends on no single text.
    """
    objective = objective or Objective()
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    hits = np.cumsum(truth[order])
    # A threshold is possible only where the probability changes.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    precision = hits[ends] / (ends + 1)
    recall = hits[ends] / max(1, int(truth.sum()))
    if objective.kind == "f1":
        best = int(np.argmax(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
        reached = True
    else:
        wanted, other = (precision, recall) if objective.kind == "precision" else (recall, precision)
        enough = wanted >= objective.target
        reached = bool(enough.any())
        best = int(np.argmax(np.where(enough, other, -1))) if reached else int(np.argmax(wanted + other * 1e-6))
    at = int(ends[best])
    below = ranked[at + 1] if at + 1 < len(ranked) else 0.0
    middle = (ranked[at] + below) / 2
    # Two neighbouring floating-point numbers have none between them.
    return Threshold(
        float(middle if middle > below else ranked[at]), float(precision[best]), float(recall[best]), reached
    )
