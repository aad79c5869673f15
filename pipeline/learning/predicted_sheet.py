"""Predictions as a table that spreadsheets open."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from pipeline.texts.json_values import dump_json

_OWN = ("labels", "scores", "error", "model")
#: how a cell begins that a spreadsheet would compute
_COMPUTED = ("=", "+", "-", "@", "\t", "\r")


class PredictedSheet:
    """Writes rows of `predict_rows` as CSV: the row's own fields, its labels, a column for each score, and the error.

    The own fields are those of the first row. A text that a spreadsheet would take for a formula gets an apostrophe
    before it, since anybody can write one (CWE-1236).

    Args:
        stream: text, opened with `newline=""`; with the encoding `utf-8-sig`, Excel reads every letter.
        labels: keys of the model's labels, in order.
    """

    def __init__(self, stream: TextIO, labels: Sequence[str]) -> None:
        self._writer = csv.writer(stream)
        self._labels = labels
        self._fields: list[str] | None = None

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row, and the names of the columns before the first one."""
        if self._fields is None:
            self._fields = [name for name in row if name not in _OWN]
            self._writer.writerow(
                [*map(_cell, self._fields), "labels", *(f"score {key}" for key in self._labels), "error", "model"]
            )
        scores = row.get("scores", {})
        self._writer.writerow(
            [
                *(_cell(row.get(name)) for name in self._fields),
                "; ".join(row.get("labels", ())),
                *(scores.get(key, "") for key in self._labels),
                row.get("error", ""),
                row["model"],
            ]
        )


def _cell(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else dump_json(value).decode()
    return f"'{text}" if text.startswith(_COMPUTED) else text
