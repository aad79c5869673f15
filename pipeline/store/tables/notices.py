"""The tables of notices: what happened, and what was sent of it through which channel.

Both are records of the past, so that neither a restart nor a repeated job sends a notice again.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, enum_column


class DeliveryState(enum.StrEnum):
    """State of a notice in one channel."""

    WAITING = "waiting"
    #: a process sends it; if that process died, nobody knows whether it arrived, and it is sent again with the same id
    SENDING = "sending"
    SENT = "sent"
    #: held back, because a notice of the same kind and subject was sent shortly before; a later one gives their number
    HELD = "held"
    #: the state that it speaks of ended before it was sent
    OVER = "over"
    FAILED = "failed"


class Notice(Base):
    """One thing that happened. No text of people and no secret is in it."""

    __tablename__ = "notice"

    #: the receiver knows a repeated notice by it
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    #: what happened, as a key: the same event makes one notice, however often it is found
    event: Mapped[str] = mapped_column(unique=True)
    #: of `pipeline.notices.kinds.Kind`
    kind: Mapped[str]
    #: what it is about: notices of one kind and subject are throttled together
    subject: Mapped[str]
    #: one line
    message: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: time at which the state that it speaks of ended; None: it lasts, or it was no state
    over_at: Mapped[datetime | None]
    #: time at which its deliveries were made; None: not yet
    routed_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "kind", "at"),
        Index(None, "at", "id"),
        Index("ix_notice_unrouted", "at", postgresql_where=text("routed_at IS NULL")),
    )


class NoticeDelivery(Base):
    """A notice in one channel."""

    __tablename__ = "notice_delivery"

    notice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("notice.id", ondelete="CASCADE"), primary_key=True)
    #: name of the channel in `notices.yaml`
    channel: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[DeliveryState] = mapped_column(
        enum_column(DeliveryState, "delivery_state"), server_default=DeliveryState.WAITING.value
    )
    #: number of attempts; counted before each, so that a notice that kills its process is noticed
    attempts: Mapped[int] = mapped_column(server_default="0")
    #: time before which it is not tried (again)
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    #: number of notices that were held back before it, as it said
    held_back: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]

    __table_args__ = (
        Index("ix_notice_delivery_open", "not_before", postgresql_where=text("state IN ('waiting', 'sending')")),
        Index("ix_notice_delivery_sent", "sent_at", postgresql_where=text("state = 'sent'")),
    )
