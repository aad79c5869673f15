"""Paired comparison of two models on the same labelled texts, with every example that flipped."""

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
    """A label of a text that one model gives and the other does not."""

    id: str
    #: personal data masked
    text: str
    label: str
    #: true where the label is true of the text
    truth: bool
    #: probabilities
    champion: float
    challenger: float
    #: true where only the challenger gives it, false where only the champion does
    gained: bool

    @property
    def right(self) -> bool:
        """True where the challenger is right and the champion is wrong."""
        return self.gained == self.truth


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Result of comparing two models."""

    comparison: Comparison
    #: sorted: first those that turned wrong, then by label
    flips: Sequence[Flip]
    #: number of flipped labels whose truth is not known
    unknown_flips: int


def compare_models(
    champion: TrainedModel, challenger: TrainedModel, examples: Examples, *, rng: np.random.Generator
) -> PairedComparison:
    """Compare two models on texts that neither was trained on, over the labels that both know.

    Raises:
        InputError: the models share no label, or no text has a yes or a no for a shared label.
    """
    theirs = set(champion.labels) & set(examples.labels)
    shared = [label for label in challenger.labels if label in theirs]
    columns = [examples.labels.index(label) for label in shared]
    rows = np.flatnonzero((examples.truth[:, columns] != UNKNOWN).any(axis=1)).tolist() if shared else []
    if not rows:
        raise InputError(
            f"nothing to compare: no text has a yes or a no for a label that {champion.manifest.version} and "
            f"{challenger.manifest.version} share"
        )
    chosen = examples.take(rows)
    truth = chosen.truth[:, columns]
    probabilities, given = [], []
    for model in (champion, challenger):
        own = [model.labels.index(label) for label in shared]
        scores = model.probabilities(chosen.texts)
        probabilities.append(scores[:, own])
        given.append(given_matrix(model, scores)[:, own])
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
    return PairedComparison(
        replace(comparison, lost=tuple(examples.labels[i] for i in only)), tuple(flips), len(flipped) - len(flips)
    )
