"""Taking a source's rows out of the store, and texts that no other source has, or that are named, out of scope."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.store import locks
from pipeline.store.locks import Lock

_GONE = text("""
    CREATE TEMPORARY TABLE gone_text ON COMMIT DROP AS
    SELECT DISTINCT s.text_id AS id FROM text_source s
    WHERE s.source_id = :source
        AND NOT EXISTS (SELECT 1 FROM text_source o WHERE o.text_id = s.text_id AND o.source_id <> :source)
""")
_NAMED = text("CREATE TEMPORARY TABLE gone_text ON COMMIT DROP AS SELECT unnest(CAST(:ids AS uuid[])) AS id")
_COUNTS = text("""
    SELECT count(*), count(DISTINCT s.text_id), (SELECT count(*) FROM gone_text)
    FROM text_source s WHERE s.source_id = :source
""")
#: of each group of near-duplicates whose first text goes: the text that comes first now
_HEIRS = text("""
    CREATE TEMPORARY TABLE heir ON COMMIT DROP AS
    SELECT DISTINCT ON (t.duplicate_of) t.duplicate_of AS old, t.id AS new FROM text t
    WHERE t.duplicate_of IN (SELECT id FROM gone_text) AND t.id NOT IN (SELECT id FROM gone_text)
    ORDER BY t.duplicate_of, t.in_scope DESC, t.created_at, t.id
""")
_CHANGES = tuple(
    text(statement)
    for statement in (
        "UPDATE text SET duplicate_of = NULL FROM heir WHERE text.id = heir.new",
        "UPDATE text SET duplicate_of = heir.new FROM heir WHERE text.duplicate_of = heir.old",
        # The two are almost the same text, so the one is found by the other's signature.
        "UPDATE minhash_band SET text_id = heir.new FROM heir WHERE minhash_band.text_id = heir.old",
        "DELETE FROM minhash_band WHERE text_id IN (SELECT id FROM gone_text)",
        "UPDATE text SET in_scope = false, duplicate_of = NULL WHERE id IN (SELECT id FROM gone_text)",
        "UPDATE queue_item SET state = 'dropped' WHERE state = 'queued' AND text_id IN (SELECT id FROM gone_text)",
    )
)


@dataclass(frozen=True, slots=True)
class RemovedTexts:
    """Numbers of rows and texts of a source."""

    #: rows of the source
    rows: int
    #: texts that only this source has
    out_of_scope: int
    #: texts that another source has too
    kept: int


def remove_texts(session: Session, source_id: int, *, change: bool) -> RemovedTexts:
    """Remove the rows of a source, in the caller's transaction.

    Texts that no other source has stay in the store, since judgements refer to them, but go out of scope, and out of
    the queue. Where the first of several near-duplicates goes, one of the others takes its place. When such a text is
    read again, `pipeline.texts.write` takes it up as if it were new.

    Args:
        session: an open transaction.
        source_id: id of the source.
        change: False: only count.
    """
    if change:
        locks.take(session, Lock.TEXTS)
    session.execute(_GONE, {"source": source_id})
    rows, texts, gone = session.execute(_COUNTS, {"source": source_id}).one()
    if change:
        _take_out(session)
        session.execute(text("DELETE FROM text_source WHERE source_id = :source"), {"source": source_id})
    else:
        session.execute(text("DROP TABLE gone_text"))
    return RemovedTexts(rows, gone, texts - gone)


def take_out_of_scope(session: Session, ids: Collection[uuid.UUID]) -> None:
    """Take texts out of scope and out of the queue, in the caller's transaction, as `remove_texts` does.

    Args:
        session: an open transaction, in which this is done once.
        ids: the texts; their rows in sources stay.
    """
    locks.take(session, Lock.TEXTS)
    session.execute(_NAMED, {"ids": list(ids)})
    _take_out(session)


def _take_out(session: Session) -> None:
    session.execute(_HEIRS)
    for statement in _CHANGES:
        session.execute(statement)
