"""Measure a model on labelled texts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.learning.sets.examples import Examples
from pipeline.measure.arrays import LabelMatrix, Scores
from pipeline.measure.metrics import LEAST_SLICE, Metrics, measure
from pipeline.models.artefact import TrainedModel


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics on a set of texts, on its languages, and what is needed to draw curves."""

    overall: Metrics
    slices: Mapping[str, Metrics]
    labels: tuple[str, ...]
    probabilities: Scores
    truth: LabelMatrix
    #: [texts, labels]: whether the model gives the label
    given: NDArray[np.bool_]
    #: ids of the texts
    ids: Sequence[uuid.UUID] = ()
    #: language of each text
    languages: Sequence[str] = ()
    #: names of the sources of each text, with commas between them
    sources: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.overall.to_dict(),
            "languages": {name: metrics.to_dict() for name, metrics in self.slices.items()},
        }


def evaluate_examples(model: TrainedModel, examples: Examples, *, rng: np.random.Generator) -> Evaluation:
    """Measure `model` on texts that it was not trained on; labels that it doesn't know are left out.

    Raises:
        InputError: no text has a yes or a no for a label of the model.
    """
    shared = [label for label in model.labels if label in examples.labels]
    theirs = [examples.labels.index(label) for label in shared]
    truth = examples.truth[:, theirs]
    rows = np.flatnonzero((truth >= 0).any(axis=1)) if shared else np.zeros(0, dtype=np.int64)
    if not len(rows):
        raise InputError(
            f"nothing to measure: no text has a yes or a no for a label of the model ({', '.join(model.labels)})"
        )
    chosen = examples.take(rows.tolist())
    probabilities = model.probabilities(chosen.texts)
    given = given_matrix(model, probabilities)
    ours = [model.labels.index(label) for label in shared]
    probabilities, given, truth = probabilities[:, ours], given[:, ours], truth[rows]

    def on(some: NDArray[np.bool_]) -> Metrics:
        return measure(probabilities[some], truth[some], shared, given[some], thresholds=model.thresholds, rng=rng)

    languages = np.array(chosen.languages)
    slices = {
        str(name): on(languages == name)
        for name, count in zip(*np.unique(languages, return_counts=True), strict=True)
        if count >= LEAST_SLICE and count < len(languages)
    }
    return Evaluation(
        on(np.ones(len(rows), dtype=bool)),
        slices,
        tuple(shared),
        probabilities,
        truth,
        given,
        chosen.ids,
        chosen.languages,
        chosen.sources,
    )


def given_matrix(model: TrainedModel, probabilities: Scores) -> NDArray[np.bool_]:
    """The labels that the model gives to each text: [texts, labels]."""
    given = np.zeros(probabilities.shape, dtype=bool)
    columns = {label: i for i, label in enumerate(model.labels)}
    for row, labels in zip(given, model.given(probabilities), strict=True):
        row[[columns[label] for label in labels]] = True
    return given
