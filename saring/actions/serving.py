"""The model that serves, loaded for whoever in this process needs it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from pipeline.learning import registry
from pipeline.models.artefact import TrainedModel, load_model, read_manifest
from pipeline.models.protocol import Encode
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.vectors.encoders.make import make_encoder


def load_champion(engine: Engine, settings: Settings, purpose: str = "sfw") -> TrainedModel | None:
    """The champion of a purpose; None when there is none yet.

    Raises:
        ModelError: its folder is missing or damaged.
    """
    with open_session(engine) as session:
        found = registry.champion(session, purpose)
    return None if found is None else load_folder(Path(found.path), settings)


def load_folder(folder: Path, settings: Settings) -> TrainedModel:
    """The model in a folder, with the encoder that it was trained with.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    return load_model(folder, encode_of(settings, read_manifest(folder).encoder))


def encode_of(settings: Settings, encoder: str | None) -> Encode | None:
    """What gives an encoder's vectors; None for none."""
    if encoder is None:
        return None
    return make_encoder(settings, encoder).encode
