"""Predictions for a stream of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline.models.artefact import TrainedModel
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean

#: texts scored at once: enough to keep the hashing busy, few enough to stay within memory
BATCH = 4_000


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction of a model for one text."""

    text: str
    #: keys of the labels whose probability reaches their threshold
    labels: tuple[str, ...]
    #: label to calibrated probability, from 0 to 1
    scores: dict[str, float]


def predict(model: TrainedModel, rows: Iterable[LabelledText]) -> Iterator[dict[str, Any]]:
    """Predict: each row with `scores` (label to calibrated probability), `labels` (by threshold) and `model` (version).

    Rows stay in order and are streamed. Labels of the row itself are replaced; its other fields stay.
    """
    pending = iter(rows)
    while batch := list(islice(pending, BATCH)):
        probabilities = model.probabilities([clean(row.text) for row in batch])
        for row, scores, given in zip(batch, probabilities, model.given(probabilities), strict=True):
            known = {
                "id": row.id,
                "text": row.text,
                "source": row.source,
                "split": row.split,
                "lang": row.language,
                "sentiment": row.sentiment,
            }
            yield {
                **row.extra,
                **{name: value for name, value in known.items() if value},
                "scores": {label: round(float(p), 6) for label, p in zip(model.labels, scores, strict=True)},
                "labels": given,
                "model": model.manifest.version,
            }


def predict_texts(model: TrainedModel, texts: Sequence[str]) -> list[Prediction]:
    """Predict the labels of each text, in order.

    Args:
        model: a trained model.
        texts: as people wrote them; they are repaired and masked first.
    """
    rows = predict(model, (LabelledText(text) for text in texts))
    return [Prediction(text, tuple(row["labels"]), row["scores"]) for text, row in zip(texts, rows, strict=True)]
