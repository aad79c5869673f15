"""A trained model as a folder: what its backend wrote (never a pickle), `model.json` (the manifest), and its card.

The hash of the backend's files stands in the manifest, so a changed or incomplete model is refused. The
last part of the version is a hash of what was learnt, so training again from the same texts gives the same version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.atomic import make_folder, new_folder, write_file
from pipeline.errors import ModelError, first_line
from pipeline.measure.arrays import Scores
from pipeline.models.backends import backend_of
from pipeline.models.calibration import Sigmoid
from pipeline.models.policies import DevCurve
from pipeline.models.protocol import Classifier, Encode, WithVectors

MANIFEST = "model.json"
#: in a manifest's `config`: calibration and thresholds of a network without the n-grams that stand beside it
NETWORK_ALONE = "network_alone"


class LabelSettings(BaseModel):
    """Calibration and threshold of one label."""

    model_config = ConfigDict(frozen=True)

    key: str
    slope: float
    offset: float
    threshold: float
    #: true where the threshold's objective was reached on the texts that it was chosen on
    reached: bool = True


class Manifest(BaseModel):
    """Description of a model: origin, labels and figures."""

    model_config = ConfigDict(frozen=True)

    version: str
    #: purpose: `sfw`, `sentiment`, `pseudo:LABEL`
    purpose: str
    backend: str
    created_at: datetime
    code_version: str
    taxonomy_version: str
    #: true where exactly one label is true of a text; probabilities then sum to 1
    exclusive: bool
    #: objective of the thresholds
    objective: str
    labels: tuple[LabelSettings, ...]
    #: backend, seed, features
    config: dict[str, Any]
    #: sources and splits of its texts
    data: dict[str, Any]
    metrics: dict[str, Any]
    #: precision and recall of each label on the dev texts, by threshold; empty: it was trained before they were stored
    dev_curves: dict[str, DevCurve] = {}
    encoder: str | None = None
    #: SHA-256 of the backend's files; see `backends.Backend.hash_of`
    artefact_hash: str = ""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A classifier with its calibration and thresholds."""

    classifier: Classifier
    manifest: Manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Keys, in the order of the columns of `probabilities`."""
        return tuple(label.key for label in self.manifest.labels)

    @property
    def thresholds(self) -> dict[str, float]:
        """The probability from which on each label is given."""
        return {label.key: label.threshold for label in self.manifest.labels}

    def encoding(self, wrap: Callable[[Encode], Encode]) -> TrainedModel:
        """The same model, whose vectors, if it needs any, come from what `wrap` makes of its own encoding function."""
        if self.manifest.encoder is None or not isinstance(self.classifier, WithVectors):
            return self
        return replace(self, classifier=self.classifier.encoding(wrap))

    def probabilities(self, texts: Sequence[str]) -> Scores:
        """Calibrated probabilities of repaired, masked texts: [texts, labels]."""
        return calibrate(self.classifier.decisions(texts), self.manifest)

    def given(self, probabilities: Scores) -> list[list[str]]:
        """The labels of each row of probabilities: by threshold, or the likeliest one of an exclusive model."""
        keys = self.labels
        if self.manifest.exclusive:
            return [[keys[i]] for i in probabilities.argmax(axis=1)]
        cuts = np.array([label.threshold for label in self.manifest.labels])
        return [[keys[i] for i in np.flatnonzero(row)] for row in probabilities >= cuts]


def calibrate(decisions: Scores, manifest: Manifest) -> Scores:
    """Probabilities from decisions, by the manifest's calibration; [texts, labels] in and out."""
    columns = [Sigmoid(label.slope, label.offset)(decisions[:, i]) for i, label in enumerate(manifest.labels)]
    probabilities = np.stack(columns, axis=1) if columns else np.zeros((len(decisions), 0))
    if manifest.exclusive:
        probabilities = probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
    return probabilities


def save_model(model: TrainedModel, models_dir: Path) -> tuple[TrainedModel, Path]:
    """Write a model into `models_dir`, whole or not at all; its manifest then holds the hash of its files.

    Training again from the same texts in the same way gives the same version: its files stay unchanged, because
    they may be in use, and only the manifest is written again.
    """
    make_folder(models_dir)
    manifest = model.manifest.model_copy(update={"version": f"{model.manifest.version}-{_content_hash(model)}"})
    folder = models_dir / manifest.version
    if (digest := _whole(folder)) is not None:
        manifest = manifest.model_copy(update={"artefact_hash": digest})
        _write_manifest(folder, manifest)
    else:
        # A damaged folder may be there, which cannot be in use.
        with new_folder(folder) as building:
            model.classifier.write(building)
            backend = backend_of(model.classifier.backend)
            manifest = manifest.model_copy(update={"artefact_hash": backend.hash_of(building)})
            _write_manifest(building, manifest)
    return TrainedModel(model.classifier, manifest), folder


def _whole(folder: Path) -> str | None:
    """The hash of the model in a folder; None if there is none or it is damaged."""
    try:
        manifest = read_manifest(folder)
        expected = manifest.artefact_hash
        return expected if backend_of(manifest.backend).hash_of(folder) == expected else None
    except (ModelError, OSError):
        return None


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    write_file(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the model in a folder.

    Raises:
        ModelError: the folder holds none, or one that can't be read.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder}: there is no model ({MANIFEST} is missing); if the home was moved, run `saring init`"
        ) from error
    except (OSError, ValidationError, RecursionError) as error:
        raise ModelError(f"{path}: this is not the manifest of a model ({first_line(error)})") from error


def load_model(folder: Path, encode: Encode | None = None) -> TrainedModel:
    """Read a model back.

    Args:
        folder: of the model.
        encode: gives vectors, for a model that was trained with vectors.

    Raises:
        ModelError: there is none, it is incomplete, or it holds other types than plain arrays.
    """
    manifest = read_manifest(folder)
    try:
        backend = backend_of(manifest.backend)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from error
    if backend.hash_of(folder) != manifest.artefact_hash:
        place = folder if backend.file is None else folder / backend.file
        raise ModelError(f"{place}: changed since it was trained (the hash differs): fetch or train the model again")
    classifier = backend.read(folder, encode)
    if classifier.labels != tuple(label.key for label in manifest.labels):
        raise ModelError(f"{folder}: manifest and model have different labels: fetch or train the model again")
    return TrainedModel(classifier, manifest)


def _content_hash(model: TrainedModel) -> str:
    digest = hashlib.blake2b(digest_size=4)
    for name, value in sorted(model.classifier.state().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    for label in model.manifest.labels:
        digest.update(label.model_dump_json().encode())
    return digest.hexdigest()
