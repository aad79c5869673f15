"""Predictions for a stream of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline.models.artefact import TrainedModel
from pipeline.texts.inputs import InputRow
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
    return predict_rows(model, map(_as_input, rows))


def predict_rows(model: TrainedModel, rows: Iterable[InputRow]) -> Iterator[dict[str, Any]]:
    """Predict as `predict` does; a row that cannot be used comes in its place with `error` and without labels."""
    pending = iter(rows)
    while batch := list(islice(pending, BATCH)):
        texts = [clean(row.text) for row in batch if row.text is not None]
        predicted = iter(_predicted(model, texts))
        for row in batch:
            more = {"error": row.error} if row.text is None else next(predicted)
            yield {**row.fields, **more, "model": model.manifest.version}


def _predicted(model: TrainedModel, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not texts:
        return
    probabilities = model.probabilities(texts)
    for scores, given in zip(probabilities, model.given(probabilities), strict=True):
        named = {label: round(float(p), 6) for label, p in zip(model.labels, scores, strict=True)}
        yield {"scores": named, "labels": given}


def _as_input(row: LabelledText) -> InputRow:
    known = {
        "id": row.id,
        "text": row.text,
        "source": row.source,
        "split": row.split,
        "lang": row.language,
        "sentiment": row.sentiment,
    }
    return InputRow({**row.extra, **{name: value for name, value in known.items() if value}}, row.text)


def predict_texts(model: TrainedModel, texts: Sequence[str]) -> list[Prediction]:
    """Predict the labels of each text, in order.

    Args:
        model: a trained model.
        texts: as people wrote them; they are repaired and masked first.
    """
    rows = predict(model, (LabelledText(text) for text in texts))
    return [Prediction(text, tuple(row["labels"]), row["scores"]) for text, row in zip(texts, rows, strict=True)]
