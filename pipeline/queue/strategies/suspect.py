"""Texts on whose labels the machines may well be wrong."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

import numpy as np

from pipeline.queue.candidates import Candidates, FilterMark
from pipeline.queue.sampling import proportional
from pipeline.queue.strategies.protocol import Chances

#: weight of a text that a filter's random sample set aside, and at most of one whose score lies at a filter's cut
_REVIEW, _AT_CUT = 1.0, 0.5
#: weight of a text that the champion confidently contradicts: from the first, by how far, to the second
_CONTRADICTED = (0.5, 1.0)
#: texts of which a label is believed, and denied, for the champion to be compared with that
_LEAST = 5


class Suspect:
    """What filters dropped and sampled for people, what lies close to their cuts, and what the champion contradicts.

    The champion contradicts a label as in confident learning (Northcutt, Jiang & Chuang 2021, "Confident learning:
    estimating uncertainty in dataset labels", section 3.1): where it is at least as sure of the other answer as it is
    on average of the texts that were given that answer.
    """

    def weigh(self, candidates: Candidates, size: float, _rng: np.random.Generator) -> Chances:
        """See Strategy."""
        n = len(candidates)
        weight, label = np.zeros(n), np.full(n, -1, np.intp)
        why: dict[int, str] = {}

        def suspect(row: int, j: int, how_much: float, words: str) -> None:
            if how_much > weight[row]:
                weight[row], label[row], why[row] = how_much, j, words

        _set_aside(candidates, suspect)
        _at_the_cut(candidates, suspect)
        _contradicted(candidates, suspect)
        return Chances(
            proportional(weight, size),
            weight,
            lambda row: why.get(row, ""),
            label=label,
            note=None if weight.any() else "no error of the machines is suspected",
        )


class _Suspect(Protocol):
    def __call__(self, row: int, j: int, how_much: float, words: str) -> None: ...


def _set_aside(candidates: Candidates, suspect: _Suspect) -> None:
    for mark in candidates.reviews:
        suspect(mark.row, mark.label, _REVIEW, f"set aside for people: {candidates.labels[mark.label]} ({mark.reason})")


def _at_the_cut(candidates: Candidates, suspect: _Suspect) -> None:
    """Scores close to the cut, measured by how far those of the same filter and label are from it on average."""
    groups: dict[tuple[str, int], list[FilterMark]] = defaultdict(list)
    for mark in candidates.filters:
        groups[mark.stage, mark.label].append(mark)
    for (_, j), marks in groups.items():
        distances = np.abs([mark.score - mark.cut for mark in marks])
        width = float(distances.mean())
        for mark, distance in zip(marks, distances.tolist(), strict=True):
            closeness = 1 - distance / width if width > 0 else 1.0
            done = "kept" if mark.kept else "demoted"
            words = f"{candidates.labels[j]} {done} at {mark.score:.3f}, close to the filter's cut {mark.cut:.3f}"
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
        for among, sureness, usual, said in sides:
            for row in np.flatnonzero(among & (sureness >= usual)).tolist():
                beyond = (sureness[row] - usual) / max(1 - usual, 1e-9)
                words = f"{key} is {said}, and the champion gives it {p[row]:.2f}"
                suspect(row, j, low + (high - low) * float(beyond), words)
