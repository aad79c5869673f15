"""Find and load a model: by version, by the beginning of a version, or by path, with the encoder of its training."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ModelError
from pipeline.models.artefact import MANIFEST, Manifest, TrainedModel, load_model, read_manifest
from pipeline.models.protocol import Encoders
from pipeline.models.purposes import shown_purpose


def load_named(name: str, models_dir: Path, encoders: Encoders | None = None) -> TrainedModel:
    """Find a model as `folder_of` does, and load it as `open_model` does.

    Raises:
        ModelError: there is no such model, or several begin so, or it is damaged, or needs an encoder.
    """
    return open_model(folder_of(name, models_dir), encoders)


def open_model(folder: Path, encoders: Encoders | None = None) -> TrainedModel:
    """Load the model in a folder.

    Args:
        folder: a model's.
        encoders: asked for the encoder that the model was trained with, if there was one; None: there is none to ask.

    Raises:
        ModelError: there is none, or it is damaged, or needs an encoder.
    """
    encoder = read_manifest(folder).encoder
    return load_model(folder, encoders(encoder) if encoders is not None and encoder is not None else None)


def folder_of(name: str, models_dir: Path) -> Path:
    """The folder of a model given by version, by the beginning of one, or by path.

    Raises:
        ModelError: there is no such model, or several begin so.
    """
    path = Path(name).expanduser()
    if (path / MANIFEST).is_file():
        return path
    if path.name == name:
        if (models_dir / name / MANIFEST).is_file():
            return models_dir / name
        matches = sorted(folder for folder in list_folders(models_dir) if folder.name.startswith(name))
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ModelError(
                f"{name!r} is the beginning of several models: {', '.join(folder.name for folder in matches[:5])}"
            )
    raise ModelError(
        f"no model {name!r}: it is neither a folder nor a version in {models_dir}; see `saring models list`"
    )


def newest(models_dir: Path, purpose: str) -> tuple[Path, Manifest]:
    """The model of a purpose that was trained last.

    Raises:
        ModelError: there is none.
    """
    models = [(folder, read_manifest(folder)) for folder in list_folders(models_dir)]
    of_purpose = [model for model in models if model[1].purpose == purpose]
    if not of_purpose:
        raise ModelError(
            f"no model for {shown_purpose(purpose)!r} in {models_dir}: train one with `saring train --data FILE`"
        )
    return max(of_purpose, key=lambda model: (model[1].created_at, model[0].name))


def list_folders(models_dir: Path) -> list[Path]:
    """The folders of all models in a directory."""
    if not models_dir.is_dir():
        return []
    return [folder for folder in models_dir.iterdir() if (folder / MANIFEST).is_file() and folder.name[0] != "."]
