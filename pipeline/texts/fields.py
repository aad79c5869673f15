"""Fields of a row by name: at the top, or within others by a path such as `legacy.full_text`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: names that a field with the text often has, likeliest first
_TEXT_NAMES = (
    "text", "full_text", "fulltext", "teks", "tweet", "tweet_text", "comment_text", "comment", "komen", "content",
    "body", "message", "mesej", "post", "caption", "sentence", "ayat", "review", "title",
)  # fmt: skip
_ID_NAMES = ("id", "id_str", "_id", "uid", "uuid", "tweet_id", "post_id", "comment_id", "row_id")
_LABEL_NAMES = ("labels", "label", "class", "category", "kategori", "annotation", "accept", "target", "tag", "tags")
_DEEPEST = 3
#: columns that a message names
_SHOWN = 12
#: an id that a spreadsheet wrote as a rounded number, such as 1.78E+18
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d{2}")


def find(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field; None: there is none.

    A field of this very name comes first, then a path with dots, through objects and the numbered places of lists. In
    a task of Label Studio, fields of its `data` are found by their names alone.
    """
    if name in fields:
        return fields[name]
    if "." in name and (value := _along(fields, name.split("."))) is not None:
        return value
    data = fields.get("data")
    if isinstance(data, Mapping) and is_task(fields):
        return find(data, name)
    return None


def has(fields: Mapping[str, Any], name: str) -> bool:
    """True where a row has the field, even if it holds nothing."""
    return name in fields or find(fields, name) is not None


def is_task(fields: Mapping[str, Any]) -> bool:
    """True for a task as Label Studio exports it (JSON)."""
    return isinstance(fields.get("data"), Mapping) and ("annotations" in fields or "completions" in fields)


def is_rounded(own_id: str) -> bool:
    """True for an id that a spreadsheet has rounded, so that it no longer names one row."""
    return _ROUNDED.fullmatch(own_id) is not None


def columns_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Names of the fields of some rows, those within objects as paths, each with the values that it has."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        _collect(row, "", columns, _DEEPEST)
    return columns


def named(columns: Iterable[str]) -> str:
    """Columns as a message names them."""
    names = list(columns)
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def likely_text(columns: Mapping[str, list[Any]]) -> str | None:
    """The column that probably holds the text: by its name, else the one with the longest values."""
    if (name := _by_name(columns, _TEXT_NAMES)) is not None:
        return name
    lengths = {
        name: sum(map(len, texts)) / len(texts)
        for name, values in columns.items()
        if (texts := [value for value in values if isinstance(value, str)])
    }
    if not lengths:
        return None
    longest = max(lengths, key=lambda name: lengths[name])
    return longest if lengths[longest] >= 15 or len(lengths) == 1 else None


def likely_labels(columns: Iterable[str]) -> str | None:
    """The column that probably holds the labels, by its name."""
    return _by_name(columns, _LABEL_NAMES)


def likely_id(columns: Iterable[str]) -> str | None:
    """The column that probably holds the id of a row, by its name."""
    return _by_name(columns, _ID_NAMES)


def _by_name(columns: Iterable[str], names: tuple[str, ...]) -> str | None:
    known = list(columns)
    for wanted in names:
        for column in known:
            if column.lower() == wanted:
                return column
    for wanted in names:
        for column in known:
            if column.rsplit(".", 1)[-1].lower() == wanted:
                return column
    words = [(column, set(re.findall(r"[a-z]+", column.lower()))) for column in known]
    return next((column for wanted in names for column, parts in words if wanted in parts), None)


def _along(value: Any, path: list[str]) -> Any:
    """The value at a path; of several ways to read it (a name may hold dots) the first that leads somewhere."""
    if not path:
        return value
    if isinstance(value, Mapping):
        for length in range(len(path), 0, -1):
            name = ".".join(path[:length])
            if name in value and (inner := _along(value[name], path[length:])) is not None:
                return inner
        return None
    if isinstance(value, list) and path[0].isdecimal() and int(path[0]) < len(value):
        return _along(value[int(path[0])], path[1:])
    return None


def _collect(row: Mapping[str, Any], before: str, columns: dict[str, list[Any]], depth: int) -> None:
    for name, value in row.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping) and depth > 1 and value:
            _collect(value, f"{path}.", columns, depth - 1)
        else:
            columns.setdefault(path, []).append(value)
