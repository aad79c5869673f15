"""Messages on a file of which no row can be used: the columns that there are, and a guess which one is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

from pipeline.texts.fields import columns_of, has, likely_labels, likely_text, named
from pipeline.texts.json_values import load_json
from pipeline.texts.layout import Layout
from pipeline.texts.readers import Format, RawRow, format_of, read_rows
from pipeline.texts.rejects import Reject

#: rows whose columns are looked at
LOOKED_AT = 50
#: what separates columns, as --delimiter names it
_DELIMITERS = {";": "semicolon", "\t": "tab", "|": "pipe", ",": "comma"}


def first_rows(path: str, form: Format, layout: Layout) -> list[Mapping[str, Any]]:
    """The fields of the first rows of a file, at most `LOOKED_AT`, without rows that are damaged.

    Raises:
        InputError: the file cannot be read.
    """
    if form is Format.TXT:
        return []
    rows = (row for row in read_rows(path, form, layout=layout) if not isinstance(row, Reject))
    return list(_objects(islice(rows, LOOKED_AT)))


def why_unusable(
    files: Sequence[tuple[str, Format]], layout: Layout, text_field: str, rejected: Mapping[str, int]
) -> str:
    """One line on files of which no row can be used: reasons, columns, and what to do.

    Args:
        files: the files with their formats; the first one is looked at.
        layout: as they were read.
        text_field: the field that should hold the text.
        rejected: number of rows by reason.
    """
    path, form = files[0]
    columns = columns_of(first_rows(path, form, layout))
    rows = sum(rejected.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items()))
    guess = likely_text({name: values for name, values in columns.items() if name != text_field})
    if form is Format.CSV and text_field not in columns and (between := _separators(columns)) is not None:
        return (
            f"{path}: there is no column {text_field!r}; its only column is {named(columns)}: separated by {between}s? "
            f"Give --delimiter {between}"
        )
    if columns and text_field not in columns:
        advice = f"perhaps --text-field {_quoted(guess)}" if guess else "name the one with the text with --text-field"
        return f"{path}: there is no column {text_field!r}; its columns are {named(columns)}: {advice}"
    problem = f"{path}: none of its {rows} rows can be used ({reasons})"
    if "not UTF-8" in rejected:
        return f"{problem}: name its encoding, for example --encoding cp1252"
    if not columns:
        if form is Format.TXT:
            return f"{problem}: is it another file?"
        return f"{problem}: is it {form.value}? --format names another format"
    advice = f"; perhaps --text-field {_quoted(guess)}" if guess else ""
    return f"{problem}; its columns are {named(columns)}{advice}"


def why_unlabelled(path: str, labels_field: str) -> str:
    """Advice on a file of which no row has a label: the field that is meant, if another one is there.

    Args:
        path: labelled JSON or Parquet.
        labels_field: the field that should hold the labels.
    """
    rows = first_rows(path, format_of(path), Layout())
    if not rows or any(has(row, labels_field) for row in rows):
        return "check the fields and the labels"
    columns = columns_of(rows)
    guess = likely_labels(columns)
    advice = f"perhaps --labels-field {_quoted(guess)}" if guess else "name the one with the labels with --labels-field"
    return f"there is no field {labels_field!r}; there are {named(columns)}: {advice}"


def _objects(rows: Iterable[RawRow]) -> Iterable[Mapping[str, Any]]:
    for row in rows:
        value: Any = row.payload
        if isinstance(value, bytes):
            try:
                value = load_json(value)
            except (orjson.JSONDecodeError, UnicodeDecodeError):
                continue
        if isinstance(value, Mapping):
            yield value


def _separators(columns: Mapping[str, object]) -> str | None:
    """The name of what separates columns that were read as one; None: nothing does."""
    [only, *others] = [*columns, ""]
    if others != [""]:
        return None
    counts = {name: only.count(character) for character, name in _DELIMITERS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None


def _quoted(name: str | None) -> str:
    return f'"{name}"' if name and (" " in name or not name.isascii()) else str(name)
