"""Rows to predict: each row of a file or a stream, whether it can be used or not."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.texts.fields import find, has
from pipeline.texts.json_values import load_json, lone_half, whole_characters
from pipeline.texts.layout import Layout
from pipeline.texts.readers import MAX_LINE, Format, RawRow, read_rows
from pipeline.texts.rejects import Reject

#: why a row without the field of the text cannot be used
MISSING = "missing field"
#: what a prediction says anew
_REPLACED = {"labels", "not_labels", "scores", "model", "error"}


@dataclass(frozen=True, slots=True)
class InputRow:
    """One row to predict."""

    #: the row's fields, without those that a prediction replaces
    fields: Mapping[str, Any]
    #: the text; None: the row cannot be used
    text: str | None
    #: why the row cannot be used, in a short fixed phrase; None: it can
    error: str | None = None


def read_inputs(
    path: str, form: Format, *, text_field: str = "text", layout: Layout | None = None
) -> Iterator[InputRow]:
    """The rows of a file, in order: none is left out.

    Raises:
        InputError: the file cannot be read at all.
    """
    for row in read_rows(path, form, layout=layout or Layout()):
        yield _input(row, path, form, text_field)


def read_input_lines(lines: Iterable[bytes], where: str, *, text_field: str = "text") -> Iterator[InputRow]:
    """The rows of a stream of JSON lines, in order; empty lines are no rows.

    Args:
        lines: the lines, with or without their newlines.
        where: name of the stream, for the ids of rows without one.
        text_field: the field with the text.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = (
            RawRow(number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            if len(line) <= MAX_LINE
            else Reject(where, number, "line too long")
        )
        yield _input(row, where, Format.JSONL, text_field)


def has_content(text: str) -> bool:
    """True where a text has a letter, a digit, or a picture such as an emoji."""
    return any(char.isalnum() or unicodedata.category(char) == "So" for char in text)


def _input(row: RawRow | Reject, where: str, form: Format, text_field: str) -> InputRow:
    place = {"id": f"{where}:{row.line}"}
    if isinstance(row, Reject):
        return InputRow(place, None, row.reason)
    fields = _fields(row, form, text_field)
    if isinstance(fields, str):
        return InputRow(place, None, fields)
    own_id = fields.get("id")
    kept = {name: value for name, value in fields.items() if name not in _REPLACED}
    kept["id"] = place["id"] if own_id in (None, "") else str(own_id)
    if "lang" not in kept and isinstance(fields.get("language"), str):
        # Many data sets name the field in full.
        kept["lang"] = fields["language"]
    text = find(fields, text_field)
    if not isinstance(text, str):
        missing = "empty text" if has(fields, text_field) else MISSING
        return InputRow(kept, None, missing if text is None else "text is not a string")
    text = whole_characters(text)
    if text_field in kept:
        kept[text_field] = text
    if (half := lone_half(text)) is not None:
        return InputRow(kept, None, "not UTF-8" if "\udc80" <= text[half] <= "\udcff" else "not valid JSON")
    if not has_content(text):
        return InputRow(kept, None, "no words" if text.strip() else "empty text")
    return InputRow(kept, text)


def _fields(row: RawRow, form: Format, text_field: str) -> Mapping[str, Any] | str:
    """The fields of a row, or why there are none."""
    if isinstance(row.payload, dict):
        return row.payload
    try:
        if form is Format.TXT:
            return {text_field: row.payload.decode("utf-8")}
        value = load_json(row.payload)
    except UnicodeDecodeError:
        return "not UTF-8"
    except orjson.JSONDecodeError:
        return "not valid JSON"
    return value if isinstance(value, dict) else "not a JSON object"
