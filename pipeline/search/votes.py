"""The present votes of raters on a text, in their own words."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind


@dataclass(frozen=True, slots=True)
class TextVote:
    """A rater's current judgement of a text."""

    rater_id: int
    kind: RaterKind
    name: str
    #: prompt or release of a machine; a person's account
    version: str
    asserted: Sequence[str]
    denied: Sequence[str]
    #: probability of each label, where the rater gives one
    scores: Mapping[str, float]
    explanation: str | None
    created_at: datetime


def votes_on(session: Session, text_id: uuid.UUID) -> list[TextVote]:
    """The current judgements of a text, those of people first, then in order of time."""
    j, r = store.Judgement, store.Rater
    current = text("judgement.id IN (SELECT id FROM current_judgement WHERE text_id = :text_id)")
    rows = session.execute(
        select(j, r.kind, r.name, r.version)
        .join(r, r.id == j.rater_id)
        .where(j.text_id == text_id, current)
        .order_by(r.kind != RaterKind.HUMAN, j.id),
        {"text_id": text_id},
    )
    return [
        TextVote(
            row.rater_id, kind, name, version, row.asserted, row.denied, row.scores, row.explanation, row.created_at
        )
        for row, kind, name, version in rows
    ]
