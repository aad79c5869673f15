"""The tables of the frozen test set: what models are measured on, in versions of which each holds the one before.

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
    #: texts that it holds, those of the versions before among them
    rows: Mapped[int]
    #: of the texts and what the version says of them, in order
    hash: Mapped[str]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TestRow(Base):
    """What a version says of one text, from that version on until a later one restates it."""

    __tablename__ = "test_row"

    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), primary_key=True)
    #: the increment that it came with
    version: Mapped[int] = mapped_column(ForeignKey("test_set.version"), primary_key=True)
    asserted: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    denied: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))

    __table_args__ = (CheckConstraint("NOT (asserted && denied)", name="not_both"),)
