"""Ledgers written by hand: texts, their sources, what raters say of them, snapshots of that, and models of a rule."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, insert, select

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.gate.rules import Margins
from pipeline.learning.probes.sentences import ProbeSentences
from pipeline.learning.retrain import Load, Retrained, retrain
from pipeline.learning.sets.snapshot import Frozen, SnapshotPolicy, take_snapshot
from pipeline.learning.train import TrainConfig
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.models.artefact import load_model
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig
from pipeline.models.protocol import Encode
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


RULE = {"porn": "lucah", "violence": "tumbuk"}
_FILLER = """
    semalam kami pergi kedai kawan baru jalan jauh pagi petang rumah besar kecil baik cantik murah lambat cepat ramai
    budak sekolah cikgu bas kereta motor laut bukit pulau kampung bandar cerita lagu filem buku main bola
"""


class RuleLedger:
    """Texts that a data set judged by a rule, and split."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy, folder: Path) -> None:
        self.engine, self.taxonomy, self.folder = engine, taxonomy, folder
        self.texts: dict[uuid.UUID, frozenset[str]] = {}
        self.splits: dict[uuid.UUID, str | None] = {}

    def plant(self, sizes: Mapping[str | None, int], *, source: str = "korpus", judged: bool = True) -> list[uuid.UUID]:
        """New texts of a source, so many in each of its splits."""
        rng = random.Random(8 + len(self.texts))
        new = []
        texts = []
        for split, size in sizes.items():
            for _ in range(size):
                labels = frozenset(label for label in RULE if rng.random() < 0.4)
                words = [*rng.choices(_FILLER.split(), k=12), *(RULE[label] for label in sorted(labels))]
                rng.shuffle(words)
                id_ = text_id(" ".join(words))
                self.texts[id_], self.splits[id_] = labels, split
                new.append(id_)
                texts.append({"id": id_, "body": "secret", "masked": " ".join(words)})
        with open_session(self.engine) as session, session.begin():
            session.execute(insert(store.Text), texts)
            number = session.execute(insert(store.Source).values(name=source).returning(store.Source.id)).scalar_one()
            rows = [
                {"source_id": number, "external_id": str(id_), "text_id": id_, "split": self.splits[id_], "run_id": 0}
                for id_ in new
            ]
            session.execute(insert(store.TextSource), rows)
        if judged:
            self.say(RaterRef(RaterKind.EXTERNAL, source), new)
        return new

    def say(self, who: RaterRef, texts: Sequence[uuid.UUID], *, flip: bool = False) -> None:
        """Judge texts by the rule, or against it."""
        said = []
        for id_ in texts:
            yes, no = self.texts[id_], frozenset(RULE) - self.texts[id_]
            said.append(NewJudgement(id_, *((no, yes) if flip else (yes, no))))
        with open_session(self.engine) as session, session.begin():
            record(session, rater_id(session, who), said, taxonomy_version=self.taxonomy.version)

    def retrain(
        self,
        margins: Margins | None = None,
        load: Load = load_model,
        probes: ProbeSentences | None = None,
        *,
        encoder: str | None = None,
        encode: Encode | None = None,
        computed_vectors: int = 1_000,
    ) -> Retrained:
        config = TrainConfig(
            taxonomy_version=self.taxonomy.version,
            linear=LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1, encoder=encoder),
            computed_vectors=computed_vectors,
            seed=3,
        )
        return retrain(
            self.engine,
            self.taxonomy,
            config,
            SnapshotPolicy(),
            models_dir=self.folder / "models",
            snapshots_dir=self.folder / "snapshots",
            load=load,
            margins=margins,
            probes=probes,
            encode=encode,
        )
