"""The table of consensuses: methods that combine the judgements of machines, with the time and the reason of each.

Rows are only added; the newest is in force. The database refuses to change or remove a row (see the migration).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json


class ConsensusRow(Base):
    """One consensus, in force until the next."""

    __tablename__ = "consensus"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    #: hash of its content
    version: Mapped[str]
    method: Mapped[str]
    #: the argument of `pipeline.ledger.consensus.rule.Consensus.from_dict`
    content: Mapped[Json]
    #: the comparison of the methods on gold, the estimates with their origin, and the reason for this method
    report: Mapped[Json]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
