"""The words that mattered for a verdict, for applications that ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ml_backend.moderation.errors import Unprocessable
from ml_backend.moderation.verdicts import Verdict
from pipeline.models.artefact import TrainedModel
from pipeline.models.explain import explain
from pipeline.texts.labelled_files import clean

#: texts of a request whose words are told, and words of each label
MOST_EXPLAINED, MOST_WORDS = 32, 10
#: texts without a word that a model other than a linear one is asked about
_OCCLUDED = 32


def check_explained(texts: Sequence[str]) -> None:
    """Check that words can be told of so many texts.

    Raises:
        Unprocessable: there are too many.
    """
    if len(texts) > MOST_EXPLAINED:
        raise Unprocessable(
            f"`explain` is for at most {MOST_EXPLAINED} texts at once, and `input` has {len(texts)}", param="explain"
        )


def words_of(model: TrainedModel, texts: Sequence[str], verdicts: Sequence[Verdict]) -> list[Mapping[str, Any]]:
    """For each text, the words that spoke most for or against the labels it was given.

    Where it was given none, they are those of the likeliest label. A word's weight is in log-odds: above 0 it speaks
    for the label. See `pipeline.models.explain`.
    """
    explained: list[Mapping[str, Any]] = []
    for text, verdict in zip(texts, verdicts, strict=True):
        parts = explain(model, clean(text), most=_OCCLUDED)
        given = [label for label, reached in verdict.given.items() if reached]
        labels = given or [max(verdict.scores, key=verdict.scores.__getitem__)]
        words: dict[str, Any] = {}
        for label in labels:
            weights = parts.parts[:, parts.labels.index(label)] if len(parts.words) else np.zeros(0)
            order = np.argsort(-np.abs(weights), kind="stable")[:MOST_WORDS]
            words[label] = [{"word": parts.words[i], "weight": round(float(weights[i]), 4)} for i in order]
        explained.append({"exact": parts.exact, "labels": words})
    return explained
