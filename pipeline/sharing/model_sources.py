"""Sources of a model's texts, with their licences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow.parquet as pq
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.models.artefact import Manifest


@dataclass(frozen=True, slots=True)
class SourceFact:
    """A known source of a model's texts."""

    name: str
    rows: int
    licence: str | None = None
    url: str | None = None


def sources_of(manifest: Manifest, session: Session | None) -> list[SourceFact]:
    """The sources of a model's texts, most rows first; empty if neither the model nor the store knows any.

    Args:
        manifest: the model.
        session: the store, for licences, and for the snapshot of a model that was trained from it; None: not used.
    """
    counts = Counter({str(name): int(rows) for name, rows in (manifest.data.get("sources") or {}).items()})
    if session is None:
        return [SourceFact(name, rows) for name, rows in counts.most_common()]
    if not counts and (snapshot := manifest.data.get("snapshot")) is not None:
        counts = _of_snapshot(session, str(snapshot))
    s = store.Source
    known = {source.name: source for source in session.scalars(select(s).where(s.name.in_(list(counts))))}
    return [
        SourceFact(name, rows, known[name].licence, known[name].url) if name in known else SourceFact(name, rows)
        for name, rows in counts.most_common()
    ]


def _of_snapshot(session: Session, digest: str) -> Counter[str]:
    path = session.scalar(select(store.Snapshot.path).where(store.Snapshot.hash == digest))
    if path is None:
        return Counter()
    try:
        rows: Iterable[str] = pq.read_table(path, columns=["source"]).column("source").to_pylist()
    except OSError:  # The file may have been removed; the card then says that the sources are not known.
        return Counter()
    return Counter(name for row in rows for name in (row or "").split(",") if name)
