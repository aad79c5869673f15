"""The words of a text that moved a model's verdict.

A linear model is a sum over n-grams, so each word's part is exact: the parts and the rest add up to the decision. Of
any other model a word's part is what its verdict loses without the word (occlusion; Zeiler & Fergus 2014, "Visualizing
and Understanding Convolutional Networks", section 4), which is an approximation: words act together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import Floats
from pipeline.models.artefact import TrainedModel
from pipeline.models.linear import LinearClassifier

#: parts into which a text is cut for occlusion; the words of a longer one are taken together
MOST_PARTS = 64


@dataclass(frozen=True, slots=True)
class Explained:
    """The parts of the words in a model's verdict on a text."""

    #: version of the model
    model: str
    #: the words in their order, as the model reads them where it joins some
    words: tuple[str, ...]
    labels: tuple[str, ...]
    #: [words, labels]: in log-odds: above 0 the word speaks for the label
    parts: Floats
    #: [labels]: what is there without any word, in log-odds; with `exact`, rest and parts add up to the verdict
    rest: Floats
    #: [labels]: the model's verdict
    probabilities: Floats
    #: True: the parts add up to the verdict; False: each is what the verdict loses without the word
    exact: bool


def explain(model: TrainedModel, text: str, *, most: int = MOST_PARTS) -> Explained:
    """Explain a model's verdict.

    Args:
        model: a model in which each label has a probability of its own.
        text: repaired and masked.
        most: for other than linear models, the largest number of texts without a word that are asked about.
    """
    slopes = np.array([label.slope for label in model.manifest.labels])
    offsets = np.array([label.offset for label in model.manifest.labels])
    classifier = model.classifier
    probabilities = np.asarray(model.probabilities([text])[0], dtype=np.float64)
    if isinstance(classifier, LinearClassifier):
        words, parts, rest = classifier.parts(text)
        exact = True
        rest = rest * slopes + offsets
    else:
        words, parts, decision = _occluded(model, text, most)
        exact = False
        rest = decision * slopes + offsets - (parts * slopes).sum(axis=0)
    return Explained(
        model.manifest.version, words, classifier.labels, parts * slopes, np.asarray(rest), probabilities, exact
    )


def _occluded(model: TrainedModel, text: str, most: int) -> tuple[tuple[str, ...], Floats, Floats]:
    """The words or runs of words, what the decision loses without each, and the decision: one batch of texts."""
    runs = _runs(text.split(), most)
    without = [" ".join(word for other in (*runs[:i], *runs[i + 1 :]) for word in other) for i in range(len(runs))]
    decisions = np.asarray(model.classifier.decisions([text, *without]), dtype=np.float64)
    return tuple(" ".join(run) for run in runs), decisions[0] - decisions[1:], decisions[0]


def _runs(words: Sequence[str], most: int) -> list[Sequence[str]]:
    """The words in at most `most` runs of about the same length."""
    if not words:
        return []
    return [part.tolist() for part in np.array_split(np.array(words, dtype=object), min(most, len(words)))]
