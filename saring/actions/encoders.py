"""Which encoder is in use and which is wanted, for those who look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.vectors.encoders.make import space_name
from pipeline.vectors.spaces import Space, spaces


def known_spaces(session: Session, settings: Settings) -> list[Space]:
    """Every space and the wanted one; a setting that names no encoder wants none."""
    try:
        return spaces(session, space_name(settings.encoder))
    except UsageError:
        return spaces(session, "")[:-1]


def spaces_in_words(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for the encoder in use, and one for the one that is to take its place."""
    lines = []
    for one in found:
        texts = one["vectors"] + one["missing"]
        share = f"{one['vectors']:,} of {texts:,} texts have a vector"
        if one["active"]:
            lines.append(f"encoder in use: {one['name']} ({share})")
        elif one["wanted"] and any(other["active"] for other in found):
            lines.append(f"to take its place once none lacks one: {one['name']} ({share})")
    return lines
