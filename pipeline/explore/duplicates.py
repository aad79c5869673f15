"""Near-duplicates in the store: how many there are, and the largest clusters."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store

#: groups of cluster sizes: from the first number to below the second
_SIZES = ((2, 3), (3, 5), (5, 10), (10, 50), (50, None))
_LARGEST = 10


@dataclass(frozen=True, slots=True)
class Cluster:
    """A text with its near-duplicates."""

    masked: str
    size: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Near-duplicates, as ingest found them: each points at the first text that it nearly equals."""

    clusters: int
    #: texts in them beyond the first of each
    repeats: int
    #: clusters by size
    sizes: dict[str, int]
    largest: tuple[Cluster, ...]


def find_duplicates(session: Session) -> Duplicates:
    """Count all clusters, and fetch the largest."""
    t = store.Text
    size = func.count().label("size")
    clusters = (
        select(t.duplicate_of.label("first"), (size + 1).label("size"))
        .where(t.duplicate_of.is_not(None))
        .group_by(t.duplicate_of)
        .subquery()
    )
    counted = session.execute(select(clusters.c.size, func.count()).group_by(clusters.c.size))
    by_size = [(row[0], row[1]) for row in counted]
    sizes = {
        f"{low}" if high == low + 1 else f"{low} to {high - 1}" if high else f"{low} and more": sum(
            count for size, count in by_size if size >= low and (high is None or size < high)
        )
        for low, high in _SIZES
    }
    largest = session.execute(
        select(t.masked, clusters.c.size)
        .join(clusters, clusters.c.first == t.id)
        .order_by(clusters.c.size.desc(), t.id)
        .limit(_LARGEST)
    )
    return Duplicates(
        sum(count for _, count in by_size),
        sum((size - 1) * count for size, count in by_size),
        sizes,
        tuple(Cluster(masked, size) for masked, size in largest),
    )
