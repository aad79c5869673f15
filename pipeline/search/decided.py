"""Decisions on a few texts, as `resolve` decides it now."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Decision
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.resolve import resolve
from pipeline.taxonomy import Taxonomy

Decisions = Mapping[str, Decision]


def decisions_of(session: Session, taxonomy: Taxonomy, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Decisions]:
    """The decisions on the labels of the taxonomy, by text; texts that nobody judged are left out."""
    if not ids:
        return {}
    t = store.Text
    chosen = select(t.id).where(t.id == func.any(list(ids)))
    consensus = current_consensus(session)
    return {
        text_id: {
            key: decision
            for key, decision in resolve(judgements, excludes=taxonomy.excludes, consensus=consensus).items()
            if key in taxonomy
        }
        for text_id, judgements in judgements_by_text(session, texts=chosen)
    }
