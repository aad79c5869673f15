"""A store with texts that a machine labelled, some of them by mistake, on which the centroid filter runs."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters.centroid import STAGE
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.table import put_vectors, register_encoder

#: the space of the planted vectors
SPACE = "planted"
_D = 32
LLM = RaterRef(RaterKind.LLM, "a-model", "1")


class _PlantedEncoder:
    name = SPACE
    dimension = _D

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), _D), np.float32)


class Planted:
    """Plants texts around a label's centre or far from it, and reads what the filter made of them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._rng = np.random.default_rng(5)
        self._centres = unit(np.asarray(self._rng.normal(size=(4, _D)) + 0.6, dtype=np.float32))
        self._planted = 0
        with Session(engine) as session, session.begin():
            register_encoder(session, _PlantedEncoder())
            # The stages use it, whatever the settings name.
            session.execute(update(store.Encoder).values(active=True))

    def plant(self, labels: set[str], centre: int, count: int, spread: float = 0.4) -> list[uuid.UUID]:
        """`count` texts around a centre that a machine gives `labels`."""
        bodies = [f"kucing nombor {self._planted + i} duduk di atas meja" for i in range(count)]
        self._planted += count
        ids = [uuid.UUID(bytes=hashlib.blake2b(body.encode(), digest_size=16).digest()) for body in bodies]
        noise = unit(np.asarray(self._rng.normal(size=(count, _D)), dtype=np.float32))
        vectors = unit(np.asarray(self._centres[centre] + spread * noise, dtype=np.float32))
        with Session(self.engine) as session, session.begin():
            rows = [{"id": i, "body": f"secret {body}", "masked": body} for i, body in zip(ids, bodies, strict=True)]
            session.execute(insert(store.Text), rows)
            put_vectors(session, SPACE, ids, vectors)
        self.say(LLM, ids, labels)
        return ids

    def say(
        self, who: RaterRef, ids: Sequence[uuid.UUID], asserted: set[str], denied: set[str] = frozenset(), ref: str = ""
    ) -> None:
        """Have a rater judge texts."""
        said = [NewJudgement(i, frozenset(asserted), frozenset(denied), external_ref=ref) for i in ids]
        with Session(self.engine) as session, session.begin():
            record(session, rater_id(session, who), said, taxonomy_version="t")

    def decisions(self, label: str) -> dict[uuid.UUID, store.FilterDecision]:
        """The centroid filter's decisions on a label."""
        d = store.FilterDecision
        with Session(self.engine) as session:
            return {row.text_id: row for row in session.scalars(select(d).where(d.stage == STAGE, d.label == label))}
