"""The table of versions of the taxonomy: what annotators and machines were told when they judged.

The taxonomy is a file that people edit. A judgement names the version by its hash, and this table has the content.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json


class TaxonomyVersion(Base):
    """One version of the taxonomy, kept since it was first used in this store."""

    __tablename__ = "taxonomy_version"

    #: hash of the file
    version: Mapped[str] = mapped_column(primary_key=True)
    #: the labels in order, as `pipeline.taxonomy.Taxonomy` dumps them
    content: Mapped[Json]
    first_seen: Mapped[datetime] = mapped_column(server_default=func.now())
