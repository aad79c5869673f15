"""Leases: a text that one reviewer has before them is given to no other, for a short time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.review.reviewer import Reviewer

#: time for which a text is kept for a reviewer after it was last shown to them
KEPT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Held:
    """A text that another reviewer has before them."""

    holder: str
    name: str
    until: datetime


def lease(session: Session, text_id: uuid.UUID, reviewer: Reviewer, now: datetime) -> Held | None:
    """Keep a text for a reviewer; None: it is theirs now. Otherwise: who has it.

    Args:
        session: an open transaction.
        text_id: the text.
        reviewer: who wants it.
        now: the present.
    """
    kept = store.ReviewLease
    fresh = insert(kept).values(text_id=text_id, holder=reviewer.account, holder_name=reviewer.name, until=now + KEPT)
    taken = session.execute(
        fresh.on_conflict_do_update(
            index_elements=[kept.text_id],
            set_={
                "holder": fresh.excluded.holder,
                "holder_name": fresh.excluded.holder_name,
                "until": fresh.excluded.until,
            },
            where=(kept.holder == reviewer.account) | (kept.until <= now),
        ).returning(kept.text_id)
    ).first()
    return None if taken is not None else held_by_other(session, text_id, reviewer, now)


def held_by_other(session: Session, text_id: uuid.UUID, reviewer: Reviewer, now: datetime) -> Held | None:
    """The other reviewer who has a text before them; None: nobody."""
    kept = store.ReviewLease
    row = session.execute(
        select(kept.holder, kept.holder_name, kept.until).where(
            kept.text_id == text_id, kept.holder != reviewer.account, kept.until > now
        )
    ).first()
    return None if row is None else Held(*row)


def release(session: Session, text_id: uuid.UUID, reviewer: Reviewer) -> None:
    """End a reviewer's lease of a text, if they have it."""
    kept = store.ReviewLease
    session.execute(delete(kept).where(kept.text_id == text_id, kept.holder == reviewer.account))


def forget_ended(session: Session, now: datetime) -> None:
    """Remove the leases that have ended."""
    session.execute(delete(store.ReviewLease).where(store.ReviewLease.until <= now))
