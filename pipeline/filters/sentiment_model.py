"""The built-in sentiment classifier: trained on first use from texts written for the project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import orjson

from pipeline.errors import ModelError
from pipeline.filters.sentiment import SENTIMENTS
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, TrainReport, train
from pipeline.models.artefact import TrainedModel, load_model
from pipeline.models.find import newest
from pipeline.models.linear import LinearConfig
from pipeline.progress import Progress, silent
from pipeline.texts.labelled import LabelledText

PURPOSE = "sentiment"


def seed_rows() -> Iterator[LabelledText]:
    """The project's own texts with their sentiment."""
    content = files("pipeline.filters").joinpath("sentiment_seed.jsonl").read_bytes()
    for number, line in enumerate(content.splitlines(), start=1):
        row = orjson.loads(line)
        yield LabelledText(
            row["text"], id=f"seed:{number}", source="seed", sentiment=row["sentiment"], language=row["lang"]
        )


def as_labels(rows: Iterable[LabelledText]) -> Iterator[LabelledText]:
    """Rows whose labels are their sentiment: it is asserted and the two others are denied. Rows without a sentiment are
    left out."""
    for row in rows:
        if row.sentiment in SENTIMENTS:
            asserted = frozenset({row.sentiment})
            yield replace(row, labels=asserted, not_labels=frozenset(SENTIMENTS) - asserted)


def train_sentiment(
    rows: Iterable[LabelledText],
    models_dir: Path,
    *,
    seed: int,
    about: dict[str, object] | None = None,
    progress: Progress = silent,
) -> TrainReport:
    """Train the three-class classifier from rows that have a sentiment.

    Raises:
        NotEnoughLabels: too few rows have one.
    """
    config = TrainConfig(purpose=PURPOSE, exclusive=True, linear=LinearConfig(), seed=seed, taxonomy_version="")
    return train(gather(as_labels(rows), SENTIMENTS), config, models_dir, about=about, progress=progress)


def make_sentiment_model(models_dir: Path, seed: int, progress: Progress = silent) -> TrainedModel:
    """The newest sentiment model in a folder; the first is trained from the project's own texts."""
    try:
        folder, _ = newest(models_dir, PURPOSE)
    except ModelError:
        return train_sentiment(seed_rows(), models_dir, seed=seed, progress=progress).model
    return load_model(folder)
