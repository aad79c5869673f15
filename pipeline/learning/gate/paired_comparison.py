"""Two models on the same labelled texts: what the comparison needs of them, and every example that flipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.errors import InputError
from pipeline.learning.evaluate import given_matrix
from pipeline.learning.sets.examples import Examples
from pipeline.measure.arrays import UNKNOWN
from pipeline.measure.metrics import measurable
from pipeline.measure.paired import Comparison, compare
from pipeline.models.artefact import TrainedModel


@dataclass(frozen=True, slots=True)
class Flip:
    """A label of a text that one model gives and the other doesn't."""

    id: str
    #: personal data masked
    text: str
    label: str
    #: whether the label is true of the text
    truth: bool
    #: probabilities
    champion: float
    challenger: float
    #: the challenger gives it and the champion didn't, rather than the reverse
    gained: bool

    @property
    def right(self) -> bool:
        """Whether the challenger is right, and the champion was wrong."""
        return self.gained == self.truth


@dataclass(frozen=True, slots=True)
class Duel:
    """What came of comparing two models."""

    comparison: Comparison
    #: those that turned wrong first, by label
    flips: Sequence[Flip]
    #: flipped labels of which it isn't known whether they are true
    unknown_flips: int


def compare_models(
    champion: TrainedModel, challenger: TrainedModel, examples: Examples, *, rng: np.random.Generator
) -> Duel:
    """Compare two models on texts that neither learnt from, over the labels that both know.

    Raises:
        InputError: the models share no label, or the texts say nothing of one that they share.
    """
    theirs = set(champion.labels) & set(examples.labels)
    shared = [label for label in challenger.labels if label in theirs]
    columns = [examples.labels.index(label) for label in shared]
    rows = np.flatnonzero((examples.truth[:, columns] != UNKNOWN).any(axis=1)).tolist() if shared else []
    if not rows:
        raise InputError(
            f"nothing to compare: the texts say nothing of a label that {champion.manifest.version} and "
            f"{challenger.manifest.version} share"
        )
    chosen = examples.take(rows)
    truth = chosen.truth[:, columns]
    probabilities, given = [], []
    for model in (champion, challenger):
        own = [model.labels.index(label) for label in shared]
        found = model.probabilities(chosen.texts)
        probabilities.append(found[:, own])
        given.append(given_matrix(model, found)[:, own])
    comparison = compare(
        probabilities[0], probabilities[1], truth, shared, given[0], languages=chosen.languages, rng=rng
    )
    only = [i for i in measurable(examples.truth) if examples.labels[i] in theirs and examples.labels[i] not in shared]
    flipped = np.argwhere(given[0] != given[1])
    flips = [
        Flip(
            id=str(chosen.ids[row]),
            text=chosen.texts[row],
            label=shared[column],
            truth=bool(truth[row, column]),
            champion=float(probabilities[0][row, column]),
            challenger=float(probabilities[1][row, column]),
            gained=bool(given[1][row, column]),
        )
        for row, column in flipped
        if truth[row, column] != UNKNOWN
    ]
    flips.sort(key=lambda flip: (flip.right, flip.label, flip.id))
    return Duel(
        replace(comparison, lost=tuple(examples.labels[i] for i in only)), tuple(flips), len(flipped) - len(flips)
    )
