"""A run's record in words: its parameters, counts and result as lines, and what was left out by reason. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.plural import counted

#: items of a list that are named, and characters of a value
_MOST_ITEMS, _LONGEST = 6, 100
#: names under which reports count what was left out, by reason
_LEFT_OUT = ("rejected", "no_verdict", "failed", "left_out", "skipped")
#: names under which reports count texts of a label that a filter rejected
_DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Things that a run left out for one reason."""

    #: name of the count in the report, such as `rejected`
    of: str
    reason: str
    #: None: the report has no number
    count: int | None


def flat_record(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The values of a record with their names: nested names are joined by dots, and long lists are counted."""
    return list(_flat(record, ""))


def left_out(counts: Mapping[str, Any], result: Mapping[str, Any] | None) -> list[LeftOut]:
    """The things that a run left out, most first, from its result or, before it has one, from its counts."""
    record = result if result is not None else counts
    rows = []
    for name in _LEFT_OUT:
        reasons = record.get(name)
        if isinstance(reasons, Mapping):
            for reason, value in reasons.items():
                if isinstance(value, int):
                    rows.append(LeftOut(name, str(reason), value))
                else:
                    rows.append(LeftOut(name, f"{reason}: {value}", None))
        elif isinstance(reasons, list):
            rows += [LeftOut(name, str(each), None) for each in reasons]
    parked = record.get("parked")
    if isinstance(parked, list):
        reasons = Counter(str(each.get("reason")) for each in parked if isinstance(each, Mapping))
        rows += [LeftOut("parked", reason, count) for reason, count in reasons.items()]
    labels = record.get("labels")
    if isinstance(labels, list):
        rows += [
            LeftOut(_DROPPED, str(each["label"]), each[_DROPPED])
            for each in labels
            if isinstance(each, Mapping) and each.get(_DROPPED) and "label" in each
        ]
    return sorted(rows, key=lambda row: -(row.count or 0))


def _flat(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        if {"value", "low", "high"} <= set(value) and isinstance(value["value"], float):
            interval = "" if value["low"] is None else f" [{value['low']:.3f}, {value['high']:.3f}]"
            yield name, f"{value['value']:.3f}{interval}"
            return
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        yield from _listed(value, name)
    elif value is not None and value != "":
        yield name, _short(value)


def _listed(values: Sequence[object], name: str) -> Iterator[tuple[str, str]]:
    if values and all(isinstance(item, str | int | float) for item in values):
        shown = ", ".join(_short(item) for item in values[:_MOST_ITEMS])
        yield name, shown if len(values) <= _MOST_ITEMS else f"{shown}, ... ({len(values):,} in all)"
    elif values:
        yield name, counted(len(values), "entry", "entries")


def _short(value: object) -> str:
    written = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return written if len(written) <= _LONGEST else f"{written[: _LONGEST - 1]}…"
