"""Plain values: parameters, counts and reports as JSON, as run records store them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter

#: numbers, strings, lists and mappings of them
Values = dict[str, Any]
T = TypeVar("T")


def to_values(value: Any) -> Any:
    """The plain values of a dataclass, mapping or sequence, as read back from JSON."""
    return orjson.loads(orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY))


def from_values(kind: type[T], values: Any) -> T:
    """An object of class `kind`, for example a report, from the plain values that `to_values` made of it."""
    return TypeAdapter(kind).validate_python(values)


def add_up(counts: Sequence[Mapping[str, Any]]) -> Values:
    """Add up the counts of several shards.

    Numbers are added by name, mappings are added name by name, lists are joined; of other values the last one is kept.
    """
    total: Values = {}
    for shard in counts:
        for name, value in shard.items():
            if isinstance(value, Mapping):
                total[name] = add_up([total.get(name, {}), value])
            elif isinstance(value, int | float) and not isinstance(value, bool):
                total[name] = total.get(name, 0) + value
            elif isinstance(value, list):
                total[name] = [*total.get(name, []), *value]
            else:
                total[name] = value
    return total


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Sequence):
        return list(value)
    return str(value)
