"""Names of the classes that a Parquet file of Hugging Face `datasets` holds as numbers (type ClassLabel)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


class ClassName(str):
    """The name of a class, with its number, by which a mapping may call it as well."""

    __slots__ = ("number",)
    number: int

    def __new__(cls, name: str, number: int) -> ClassName:
        made = super().__new__(cls, name)
        made.number = number
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return ClassName, (str(self), self.number)


def named_classes(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of the classes of each column that has any, from the metadata of a file's schema."""
    try:
        described = orjson.loads((metadata or {}).get(b"huggingface", b"{}"))
        features = described["info"]["features"]
        columns = {name: _names(feature) for name, feature in features.items()}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        # no such metadata, or in a form of another version
        return {}
    return {name: names for name, names in columns.items() if names}


def with_names(row: Mapping[str, Any], classes: Mapping[str, list[str]]) -> dict[str, Any]:
    """A row with the names of classes in place of their numbers; the number -1 stands for no class."""
    return {name: _named(value, classes[name]) if name in classes else value for name, value in row.items()}


def _names(feature: Any) -> list[str]:
    """The names of a feature that is a ClassLabel, or a list of such."""
    if isinstance(feature, list) and len(feature) == 1:
        return _names(feature[0])
    if not isinstance(feature, dict):
        return []
    if feature.get("_type") == "ClassLabel":
        names = feature.get("names")
        return [str(name) for name in names] if isinstance(names, list) else []
    return _names(feature.get("feature"))


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if value < 0:
        return None
    return ClassName(names[value], value) if value < len(names) else value
