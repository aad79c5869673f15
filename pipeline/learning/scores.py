"""A model's scores on its test texts, kept beside the model: what curves and slices are drawn from.

The file holds no text: ids, languages, sources, labels and probabilities. It is no part of the model, and is not
shared with it.
"""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.atomic import new_file
from pipeline.errors import ModelError
from pipeline.learning.evaluate import Evaluation
from pipeline.measure.arrays import Booleans, LabelMatrix, Scores

SCORES = "scores.npz"


@dataclass(frozen=True, slots=True)
class ScoredTexts:
    """Scores of one model on the texts that it was measured on."""

    labels: tuple[str, ...]
    ids: Sequence[uuid.UUID]
    #: [texts, labels]
    probabilities: Scores
    #: [texts, labels]; 1, 0 or unknown
    truth: LabelMatrix
    #: [texts, labels]: whether the model gives the label
    given: Booleans
    #: of each text
    languages: Sequence[str]
    #: names of the sources of each text, with commas between them; empty where they are not known
    sources: Sequence[str]
    #: version of the frozen test set; None: the texts were held out at the training, and there was no test set
    test_set: int | None

    @classmethod
    def of(cls, evaluation: Evaluation, test_set: int | None) -> ScoredTexts:
        """The scores behind an evaluation."""
        return cls(
            evaluation.labels,
            evaluation.ids,
            evaluation.probabilities,
            evaluation.truth,
            evaluation.given,
            evaluation.languages,
            evaluation.sources,
            test_set,
        )


def write_scores(folder: Path, scores: ScoredTexts) -> Path:
    """Write the scores into a model's folder, in place of older ones; return the path."""
    path = folder / SCORES
    with new_file(path) as building, building.open("wb") as stream:
        np.savez_compressed(
            stream,
            labels=np.array(scores.labels, dtype=np.str_),
            ids=np.frombuffer(b"".join(identity.bytes for identity in scores.ids), dtype=np.uint8),
            # four bytes keep the order of probabilities well enough to draw them
            probabilities=scores.probabilities.astype("<f4"),
            truth=scores.truth.astype(np.int8),
            given=scores.given,
            languages=np.array(scores.languages, dtype=np.str_),
            sources=np.array(scores.sources, dtype=np.str_),
            test_set=np.array(-1 if scores.test_set is None else scores.test_set, dtype="<i8"),
        )
    return path


def read_scores(folder: Path) -> ScoredTexts | None:
    """Read the scores in a model's folder; None: none are kept there.

    Raises:
        ModelError: the file can't be read.
    """
    path = folder / SCORES
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
        raw, test_set = held["ids"].tobytes(), int(held["test_set"])
        scores = ScoredTexts(
            labels=tuple(held["labels"].tolist()),
            ids=[uuid.UUID(bytes=raw[at : at + 16]) for at in range(0, len(raw), 16)],
            probabilities=held["probabilities"].astype(np.float64),
            truth=held["truth"].astype(np.int8),
            given=held["given"].astype(np.bool_),
            languages=held["languages"].tolist(),
            sources=held["sources"].tolist(),
            test_set=None if test_set < 0 else test_set,
        )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path}: these are not the scores of a model ({type(error).__name__}): remove the file, and open "
            "the page again"
        ) from error
    shape = (len(scores.ids), len(scores.labels))
    if not (scores.probabilities.shape == scores.truth.shape == scores.given.shape == shape):
        raise ModelError(f"{path}: the scores do not fit their labels: remove the file, and open the page again")
    return scores
