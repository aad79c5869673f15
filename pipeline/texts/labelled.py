"""Labelled texts, and their file format: JSON lines, one object for each text.

``{"id", "text", "labels", "not_labels", "source", "split"?, "sentiment"?}``: labels are asserted, not_labels denied,
and all other labels are unknown. Unknown never counts as denied.
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
    """One text with its labels and its source."""

    text: str
    #: id in its source; empty if it has none
    id: str = ""
    labels: frozenset[str] = frozenset()
    not_labels: frozenset[str] = frozenset()
    source: str = ""
    split: Split | None = None
    language: str | None = None
    sentiment: str | None = None
    #: fields of the line that Saring does not use, kept to be written back
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The text as one line of JSON, without the newline."""
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
