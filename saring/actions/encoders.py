"""The encoder in use and the one that is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.plural import counted
from pipeline.settings import Settings
from pipeline.vectors.encoders.make import space_name
from pipeline.vectors.spaces import Space, spaces


def known_spaces(session: Session, settings: Settings) -> list[Space]:
    """Every space of vectors, with the wanted one; without it if the setting names no encoder."""
    try:
        return spaces(session, space_name(settings.encoder))
    except UsageError:
        return spaces(session, "")[:-1]


def spaces_in_words(known: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for the encoder in use, and a line for the encoder that will replace it."""
    lines = []
    for space in known:
        texts = space["vectors"] + space["missing"]
        share = f"vectors of {space['vectors']:,} of {counted(texts, 'text')}"
        if space["active"]:
            lines.append(f"encoder in use: {space['name']} ({share})")
        elif space["wanted"] and any(other["active"] for other in known):
            lines.append(f"next encoder, used as soon as every text has a vector: {space['name']} ({share})")
    return lines
