"""Row counts and size of the store."""

from __future__ import annotations

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from pipeline.store.tables.core import (
    Base,
    FilterDecision,
    Judgement,
    Model,
    Rater,
    Review,
    Run,
    Snapshot,
    Source,
    Text,
    Vector,
)
from pipeline.store.tables.human_loop import Annotation, QueueItem, Task

_COUNTED: tuple[type[Base], ...] = (
    Source,
    Text,
    Rater,
    Judgement,
    Vector,
    FilterDecision,
    Review,
    Run,
    Snapshot,
    Model,
    QueueItem,
    Task,
    Annotation,
)


def count_rows(session: Session) -> dict[str, int]:
    """Number of rows of the main tables, by table name."""
    counts = [select(func.count()).select_from(table).scalar_subquery() for table in _COUNTED]
    row = session.execute(select(*counts)).one()
    return dict(zip((table.__tablename__ for table in _COUNTED), row, strict=True))


def size_bytes(session: Session) -> int:
    """Size of the database on disk, in bytes, indexes included."""
    size = session.scalar(text("SELECT pg_database_size(current_database())"))
    assert isinstance(size, int)
    return size
