"""The tables of the review: the texts that a reviewer should settle, and who is at which of them.

Disputes are derived from the ledger by the stage `review` (`pipeline.review`), and may be removed and found again at
any time; so there are no foreign keys. What reviewers settle is a judgement, and stays.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, enum_column


class DisputeKind(enum.StrEnum):
    """The reason why a text needs a reviewer."""

    #: people, or data sets, disagree
    DISAGREEMENT = "disagreement"
    #: machines disagree, or people could not decide
    UNDECIDED = "undecided"
    #: a label looks wrong to a model that was not trained on it
    SUSPECT = "suspect"
    #: an application reports that a verdict was wrong
    APPEAL = "appeal"


class Dispute(Base):
    """One text that a reviewer should settle, for one reason."""

    __tablename__ = "dispute"

    text_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[DisputeKind] = mapped_column(enum_column(DisputeKind, "dispute_kind"), primary_key=True)
    #: the labels in question; empty: the whole text
    labels: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: the reasons: code and values of each (see `pipeline.review.reasons`)
    why: Mapped[list[dict[str, Any]]] = mapped_column(JSONB(), server_default=text("'[]'::jsonb"))
    #: what settling it is expected to bring; the greatest comes first
    value: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: the judgement that settled it; None: it waits
    settled_by: Mapped[int | None] = mapped_column(BigInteger)
    settled_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_dispute_waiting", "kind", text("value DESC"), "text_id", postgresql_where=text("settled_by IS NULL")),
        Index("ix_dispute_settled", "settled_by", postgresql_where=text("settled_by IS NOT NULL")),
    )


class ReviewLease(Base):
    """A text that a reviewer has before them; nobody else is given it until the lease ends."""

    __tablename__ = "review_lease"

    text_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    #: the reviewer's account
    holder: Mapped[str]
    #: how other reviewers know them
    holder_name: Mapped[str] = mapped_column(server_default="")
    until: Mapped[datetime]


class ReviewCursor(Base):
    """The judgement up to which disputes were looked for; one row."""

    __tablename__ = "review_cursor"

    name: Mapped[str] = mapped_column(primary_key=True)
    judgement_id: Mapped[int] = mapped_column(BigInteger)
