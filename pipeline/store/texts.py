"""The texts that stages work on."""

from __future__ import annotations

import uuid

from sqlalchemy import Select, select

from pipeline.store.tables.core import Text


def sample(limit: int | None) -> Select[uuid.UUID]:
    """Ids of the texts that stages work on: in scope, not duplicates; the first `limit` of them in order of id.

    Ids are hashes of the texts, so the first N are a uniform random sample, the same sample for every stage.
    """
    t = Text
    query = select(t.id).where(t.in_scope, t.duplicate_of.is_(None)).order_by(t.id)
    return query if limit is None else query.limit(limit)
