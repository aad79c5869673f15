"""A range of text ids."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Select

from pipeline.store.tables.core import Text


@dataclass(frozen=True, slots=True)
class Span:
    """Ids from `lower` (inclusive) to `upper` (exclusive); None: from the first, to the last."""

    lower: uuid.UUID | None = None
    upper: uuid.UUID | None = None

    def __contains__(self, identity: uuid.UUID) -> bool:
        return (self.lower is None or identity >= self.lower) and (self.upper is None or identity < self.upper)

    def of(self, query: Select[uuid.UUID]) -> Select[uuid.UUID]:
        """Restrict a query of text ids to the span."""
        if self.lower is not None:
            query = query.where(Text.id >= self.lower)
        return query if self.upper is None else query.where(Text.id < self.upper)
