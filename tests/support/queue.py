"""A store with texts to queue, and what people and machines do to it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert, update

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.measure.arrays import Scores
from pipeline.models.artefact import LabelSettings, Manifest, TrainedModel
from pipeline.queue.build import build_queue
from pipeline.queue.config import QueueConfig, QueueReport
from pipeline.queue.strategies.known import STRATEGIES
from pipeline.queue.strategies.protocol import Strategy
from pipeline.queue.waiting import queued
from pipeline.store import open_session
from pipeline.store.tables.human_loop import QueueState, TaskState
from pipeline.taxonomy import Taxonomy
from pipeline.texts.normalise import text_id
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.table import put_vectors, register_encoder

LLM = RaterRef(RaterKind.LLM, "a-model", "1")
AISYAH, BALA = (RaterRef(RaterKind.HUMAN, "label-studio", str(i)) for i in (1, 2))
IMPORTED = RaterRef(RaterKind.HUMAN, "kaji-selidik", "2024")


class Space:
    name, dimension = "tiny", 8

    def encode(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError("vectors are planted")


class Reader:
    """A classifier that reads its decision from the text: `hate=0.7` gives hate that probability."""

    labels = ("hate", "safe for work")
    backend = "linear"

    def decisions(self, texts: Sequence[str]) -> Scores:
        p = np.array([[float(text.rpartition("=")[2])] for text in texts]).reshape(-1, 1)
        logit = np.log(p / (1 - p))
        return np.hstack([logit, -logit])

    def state(self) -> dict[str, Any]:
        return {}


def champion(taxonomy: Taxonomy) -> TrainedModel:
    return TrainedModel(
        Reader(),
        Manifest(
            version="sfw-test-1",
            purpose="sfw",
            backend="linear",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            code_version="0",
            taxonomy_version=taxonomy.version,
            exclusive=False,
            objective="f1",
            labels=tuple(LabelSettings(key=key, slope=1, offset=0, threshold=0.5) for key in Reader.labels),
            config={},
            data={},
            metrics={},
        ),
    )


class Shelf:
    """A store with texts, and what is done to it."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy) -> None:
        self.engine, self.taxonomy = engine, taxonomy
        self.rng = np.random.default_rng(0)
        self.vectors: dict[uuid.UUID, Vectors] = {}
        with open_session(engine) as session, session.begin():
            register_encoder(session, Space())

    def plant(
        self, count: int, *, p: Sequence[float] | None = None, vectors: Vectors | None = None, **more: Any
    ) -> list[uuid.UUID]:
        """Texts far from each other unless told otherwise; the champion gives hate the probability `p`."""
        chances = p if p is not None else self.rng.uniform(0.02, 0.4, count).round(3).tolist()
        start = len(self.vectors)
        bodies = [f"baris {start + i} hate={chance}" for i, chance in zip(range(count), chances, strict=True)]
        ids = [text_id(body) for body in bodies]
        found = unit(self.rng.normal(size=(count, 8)).astype(np.float32)) if vectors is None else vectors
        self.vectors |= dict(zip(ids, found, strict=True))
        with open_session(self.engine) as session, session.begin():
            rows = [{"id": i, "body": "secret", "masked": body} | more for i, body in zip(ids, bodies, strict=True)]
            session.execute(insert(store.Text), rows)
            put_vectors(session, Space.name, ids, found)
        return ids

    def say(
        self,
        who: RaterRef,
        ids: Sequence[uuid.UUID],
        asserted: set[str],
        denied: set[str] | None = None,
        **more: Any,
    ) -> None:
        said = [NewJudgement(i, frozenset(asserted), frozenset(denied or ()), **more) for i in ids]
        with open_session(self.engine) as session, session.begin():
            record(session, rater_id(session, who), said, taxonomy_version=self.taxonomy.version)

    def project(self, label_studio_id: int = 1) -> int:
        with open_session(self.engine) as session, session.begin():
            one = store.Project(
                url="http://ls",
                label_studio_id=label_studio_id,
                label_studio_created_at=datetime.now(UTC),
                title="saring",
                harsh_cap=30,
            )
            session.add(one)
            session.flush()
            return one.id

    def push(self, project: int, ids: Sequence[uuid.UUID]) -> None:
        """What a push leaves in the store."""
        with open_session(self.engine) as session, session.begin():
            for i in ids:
                session.add(
                    store.Task(
                        project_id=project,
                        text_id=i,
                        strategy="random",
                        reason="",
                        inclusion_probability=1,
                        state=TaskState.OPEN,
                    )
                )
            q = store.QueueItem
            session.execute(
                update(q).where(q.text_id.in_(ids), q.state == QueueState.QUEUED).values(state=QueueState.PUSHED)
            )

    def build(
        self,
        *,
        model: TrainedModel | None = None,
        seed: int = 1,
        strategies: Mapping[str, Strategy] = STRATEGIES,
        **how: Any,
    ) -> QueueReport:
        return build_queue(
            self.engine,
            self.taxonomy,
            QueueConfig(**({"gold_share": 0.0} | how)),
            model=model,
            encoder=Space.name,
            seed=seed,
            strategies=strategies,
        )

    def items(self) -> list[store.QueueItem]:
        with open_session(self.engine) as session:
            return list(queued(session))

    def ids(self) -> list[uuid.UUID]:
        return [item.text_id for item in self.items()]

    def decide(self, who: uuid.UUID, label: str, *, kept: bool, score: float, cut: float) -> None:
        with open_session(self.engine) as session, session.begin():
            run = store.Run(stage="filter-centroid", state="done")
            session.add(run)
            session.flush()
            f = {"stage": "filter-centroid", "label": label, "text_id": who, "kept": kept, "score": score, "cut": cut}
            session.execute(insert(store.FilterDecision).values(**f, reason="", run_id=run.id))
            if not kept:
                session.execute(
                    insert(store.Review).values(
                        text_id=who, label=label, reason="centroid_dropped", inclusion_probability=0.5, run_id=run.id
                    )
                )
