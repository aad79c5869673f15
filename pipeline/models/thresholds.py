"""From which probability on a label is given: chosen on held-out texts for a stated objective."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Objective:
    """What a threshold is chosen for: the best F1, or the most recall at a precision, or the reverse."""

    kind: Literal["f1", "precision", "recall"] = "f1"
    #: what must be reached, for `precision` and `recall`
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
        raise UsageError(f"objective {text!r} is not known: say f1, precision=P or recall=R with 0 < P, R <= 1")
    return Objective("precision" if match[1] == "precision" else "recall", float(match[2]))


@dataclass(frozen=True, slots=True)
class Threshold:
    """A cut with what it gave on the texts that it was chosen on."""

    value: float
    precision: float
    recall: float
    #: whether the objective's target was reached
    reached: bool = True


def choose_threshold(
    probabilities: NDArray[np.float64], truth: NDArray[np.bool_], objective: Objective | None = None
) -> Threshold:
    """The cut that serves the objective best; when its target can't be reached, the one that comes nearest.

    The cut lies half-way between two neighbouring probabilities, so that it depends on no single text.
    """
    objective = objective or Objective()
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    hits = np.cumsum(truth[order])
    # a cut is possible only where the probability changes
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
    # between neighbouring floating-point numbers there is no half-way
    return Threshold(
        float(middle if middle > below else ranked[at]), float(precision[best]), float(recall[best]), reached
    )
