"""Translations in the store."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store


def stored_translations(session: Session, language: str, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The newest translation of each text that has one."""
    t = store.Translation
    rows = session.execute(
        select(t.text_id, t.translated)
        .where(t.language == language, t.text_id == func.any(list(ids)))
        .order_by(t.created_at, t.translator)
    )
    return {row.text_id: row.translated for row in rows}


def not_translated(session: Session, language: str, translator: str, chosen: Select[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the chosen texts that a translator has not translated, in order; texts in the language need none."""
    ids_of, t, text = chosen.subquery(), store.Translation, store.Text
    done = (
        select(t.text_id).where(t.text_id == ids_of.c.id, t.language == language, t.translator == translator).exists()
    )
    query = select(ids_of.c.id).join(text, text.id == ids_of.c.id).where(~done, text.language != language)
    return list(session.scalars(query.order_by(ids_of.c.id)))


def put_translations(
    session: Session, language: str, translator: str, translated: Mapping[uuid.UUID, str], *, run_id: int | None
) -> None:
    """Keep translations; one that is there stays."""
    if not translated:
        return
    rows = [
        {"text_id": text_id, "language": language, "translator": translator, "translated": words, "run_id": run_id}
        for text_id, words in translated.items()
    ]
    session.execute(insert(store.Translation).on_conflict_do_nothing(), rows)
