"""Labelled texts as files hold them: JSON lines, one object a text.

``{"id", "text", "labels", "not_labels", "source", "split"?, "sentiment"?}``: labels are asserted, not_labels denied,
and every other label is unknown. Unknown is never read as negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One text with what is known of it."""

    text: str
    #: identity in its source; empty if it has none
    id: str = ""
    labels: frozenset[str] = frozenset()
    not_labels: frozenset[str] = frozenset()
    source: str = ""
    split: Split | None = None
    language: str | None = None
    sentiment: str | None = None
    #: fields of the line that mean nothing to Saring, kept to be written back
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """One line of labelled JSON, without its newline."""
        row: dict[str, Any] = {
            "id": self.id,
            "text": self.text,
            "labels": sorted(self.labels),
            "not_labels": sorted(self.not_labels),
            "source": self.source,
        }
        for name, value in (("split", self.split), ("lang", self.language), ("sentiment", self.sentiment)):
            if value is not None:
                row[name] = value
        return orjson.dumps(dict(self.extra) | row)
