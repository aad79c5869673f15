"""The strategy `suspect`: texts whose machine labels may be wrong."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

import numpy as np

from pipeline.queue.candidates import Candidates, FilterMark
from pipeline.queue.sampling import proportional
from pipeline.queue.strategies.protocol import Chances

#: weight of a text in a filter's review sample, and largest weight of a text whose score is close to a filter's cut
_REVIEW, _AT_CUT = 1.0, 0.5
#: least and largest weight of a text that the champion contradicts
_CONTRADICTED = (0.5, 1.0)
#: least number of texts with a yes, and with a no, to compare the champion with
_LEAST = 5


class Suspect:
    """Review samples of the filters, texts close to their cuts, and texts that the champion contradicts.

    The champion contradicts a label as in confident learning (Northcutt, Jiang & Chuang 2021, "Confident learning:
    estimating uncertainty in dataset labels", section 3.1): where it is at least as sure of the other answer as it is
    on average for the texts with that answer.
    """

    def weigh(self, candidates: Candidates, size: float, _rng: np.random.Generator) -> Chances:
        """See Strategy."""
        n = len(candidates)
        weight, label = np.zeros(n), np.full(n, -1, np.intp)
        why: dict[int, str] = {}

        def suspect(row: int, j: int, how_much: float, words: str) -> None:
            if how_much > weight[row]:
                weight[row], label[row], why[row] = how_much, j, words

        _in_review(candidates, suspect)
        _at_the_cut(candidates, suspect)
        _contradicted(candidates, suspect)
        return Chances(
            proportional(weight, size),
            weight,
            lambda row: why.get(row, ""),
            label=label,
            note=None if weight.any() else "no machine label looks wrong",
        )


class _Suspect(Protocol):
    def __call__(self, row: int, j: int, how_much: float, words: str) -> None: ...


def _in_review(candidates: Candidates, suspect: _Suspect) -> None:
    for mark in candidates.reviews:
        suspect(mark.row, mark.label, _REVIEW, f"in a review sample: {candidates.labels[mark.label]} ({mark.reason})")


def _at_the_cut(candidates: Candidates, suspect: _Suspect) -> None:
    """Find scores close to the cut, relative to the average distance for the same filter and label."""
    groups: dict[tuple[str, int], list[FilterMark]] = defaultdict(list)
    for mark in candidates.filters:
        groups[mark.stage, mark.label].append(mark)
    for (_, j), marks in groups.items():
        distances = np.abs([mark.score - mark.cut for mark in marks])
        width = float(distances.mean())
        for mark, distance in zip(marks, distances.tolist(), strict=True):
            closeness = 1 - distance / width if width > 0 else 1.0
            outcome = "kept" if mark.kept else "rejected"
            words = f"{candidates.labels[j]} {outcome} at {mark.score:.3f}, close to the filter's cut {mark.cut:.3f}"
            suspect(mark.row, j, _AT_CUT * closeness, words)


def _contradicted(candidates: Candidates, suspect: _Suspect) -> None:
    if candidates.probabilities is None:
        return
    low, high = _CONTRADICTED
    for j, key in enumerate(candidates.labels):
        p, given = candidates.probabilities[:, j], candidates.decisions[:, j]
        known = ~np.isnan(p)
        yes, no = known & (given == 1), known & (given == 0)
        if min(yes.sum(), no.sum()) < _LEAST:
            continue
        sides = ((no, p, float(p[yes].mean()), "denied"), (yes, 1 - p, float((1 - p[no]).mean()), "asserted"))
        for among, sureness, usual, answer in sides:
            for row in np.flatnonzero(among & (sureness >= usual)).tolist():
                beyond = (sureness[row] - usual) / max(1 - usual, 1e-9)
                words = f"{key} is {answer}, but the champion gives it a probability of {p[row]:.2f}"
                suspect(row, j, low + (high - low) * float(beyond), words)
