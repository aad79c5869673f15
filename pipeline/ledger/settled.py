"""Texts that reviewers settled."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from pipeline import store
from pipeline.judgement import ADJUDICATION, RaterKind


def settled_texts(session: Session) -> frozenset[uuid.UUID]:
    """Ids of the texts with a settlement that stands: neither undone, nor by a reviewer who is excluded."""
    j, r, later = store.Judgement, store.Rater, aliased(store.Judgement)
    return frozenset(
        session.scalars(
            select(j.text_id)
            .join(r, r.id == j.rater_id)
            .where(r.kind == RaterKind.HUMAN, r.name == ADJUDICATION, r.excluded_at.is_(None), ~j.withdrawn)
            .where(~select(later.id).where(later.supersedes == j.id).exists())
            .distinct()
        )
    )
