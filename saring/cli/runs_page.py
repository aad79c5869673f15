"""Runs for a person to read: a record as a page, and pulls summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.store.tables.core import RunState
from saring.actions.run_record import flat_record

#: stage of the runs that webhooks and the schedule start all day
PULL = "pull"
#: lines of a page
_MOST_LINES = 30


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
    lines = [f"{name}: {value}" for name, value in flat_record(record)]
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"... and {more} more"]
