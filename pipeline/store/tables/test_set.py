"""The tables of the frozen test set, on which models are measured. Each version contains the version before.

The database itself refuses to change or remove a row of either table (see the fourth migration).
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base


class TestSet(Base):
    """One version of the test set: the rows of its own increment, and those of all versions before."""

    __tablename__ = "test_set"

    #: from 1
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: number of texts in it, those of earlier versions included
    rows: Mapped[int]
    #: hash of the texts and their labels, in order
    hash: Mapped[str]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TestRow(Base):
    """Labels of one text in the test set, from a version on until a later version changes them."""

    __tablename__ = "test_row"

    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), primary_key=True)
    #: the version that added the row
    version: Mapped[int] = mapped_column(ForeignKey("test_set.version"), primary_key=True)
    asserted: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    denied: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))

    __table_args__ = (CheckConstraint("NOT (asserted && denied)", name="not_both"),)
