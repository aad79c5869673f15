"""A ledger written by hand: texts, where they were seen, what raters say of them, and snapshots of that."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, insert, select

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.sets.snapshot import Frozen, SnapshotPolicy, take_snapshot
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.store import open_session
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.normalise import text_id

HUMAN = RaterRef(RaterKind.HUMAN, "aisyah")
CORPUS = RaterRef(RaterKind.EXTERNAL, "korpus")
LLM = RaterRef(RaterKind.LLM, "a-model", "1")
PSEUDO = RaterRef(RaterKind.PSEUDO, "pseudo:porn", "1")


class Book:
    """Texts, where they were seen, and what raters say of them."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy, folder: Path) -> None:
        self.engine, self.taxonomy, self.folder = engine, taxonomy, folder
        self._texts = 0

    def plant(self, count: int, *, source: str = "korpus", split: str | None = None, **more: Any) -> list[uuid.UUID]:
        bodies = [f"baris nombor {self._texts + i} tentang perkara {(self._texts + i) * 7919}" for i in range(count)]
        self._texts += count
        ids = [text_id(body) for body in bodies]
        with open_session(self.engine) as session, session.begin():
            rows = [{"id": i, "body": "secret", "masked": body} | more for i, body in zip(ids, bodies, strict=True)]
            session.execute(insert(store.Text), rows)
        self.see(ids, source, split)
        return ids

    def see(self, ids: Sequence[uuid.UUID], source: str, split: str | None) -> None:
        """Texts were seen in a source, in a split of it."""
        with open_session(self.engine) as session, session.begin():
            s = store.Source
            known = session.execute(select(s.id).where(s.name == source)).scalar_one_or_none()
            source_id = known or session.execute(insert(s).values(name=source).returning(s.id)).scalar_one()
            rows = [
                {"source_id": source_id, "external_id": str(i), "text_id": i, "split": split, "run_id": 0} for i in ids
            ]
            session.execute(insert(store.TextSource), rows)

    def say(self, who: RaterRef, ids: Sequence[uuid.UUID], asserted: set[str], denied: set[str] | None = None) -> None:
        said = [NewJudgement(i, frozenset(asserted), frozenset(denied or ())) for i in ids]
        with open_session(self.engine) as session, session.begin():
            record(session, rater_id(session, who), said, taxonomy_version=self.taxonomy.version)

    def take(self, **policy: Any) -> Frozen:
        with open_session(self.engine) as session, session.begin():
            return take_snapshot(session, self.taxonomy, SnapshotPolicy(**policy), self.folder)

    def rows(self, **policy: Any) -> dict[uuid.UUID, LabelledText]:
        return {uuid.UUID(row.id): row for row in self.take(**policy).rows}

    def stored(self) -> int:
        with open_session(self.engine) as session:
            return session.execute(select(func.count()).select_from(store.Snapshot)).scalar_one()
