"""Runs for a person to read: a record as a page, and pulls summed up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.plural import counted
from pipeline.store.tables.core import RunState

#: stage of the runs that webhooks and the schedule start all day
PULL = "pull"
#: lines of a page, and items of a list that are named on it
_MOST_LINES, _MOST_ITEMS = 30, 6
#: characters of a value
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class PullsBetween:
    """Pulls that ended well, with no other run between them."""

    count: int
    #: numbers of the first and the last of them
    first: int
    last: int
    #: when these two started
    since: datetime
    until: datetime


def pulls_between(session: Session, ids: Sequence[int], *, limit: int) -> list[PullsBetween]:
    """Pulls that ended well, summed up between the runs that are listed.

    Args:
        session: an open session.
        ids: numbers of the listed runs, newest first.
        limit: number of runs that were asked for; where there are fewer, older pulls count too.
    """
    r = store.Run
    query = select(func.count(), func.min(r.id), func.max(r.id), func.min(r.started_at), func.max(r.started_at)).where(
        r.stage == PULL, r.state == RunState.DONE
    )
    # newest first: above the first run, between each two, and below the last one if all runs are listed
    bounds: list[int | None] = [None, *ids, *([None] if len(ids) < limit else [])]
    groups = []
    for above, below in pairwise(bounds):
        between = query if above is None else query.where(r.id < above)
        between = between if below is None else between.where(r.id > below)
        count, first, last, since, until = session.execute(between).one()
        if count:
            groups.append(PullsBetween(count, first, last, since, until))
    return groups


def page_lines(record: Mapping[str, Any]) -> list[str]:
    """A record as lines `name: value`: nested names are joined by dots, and long lists are counted. Pure."""
    lines = [f"{name}: {value}" for name, value in _flat(record, "")]
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"... and {more} more"]


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
