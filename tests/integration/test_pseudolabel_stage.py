"""Pseudo-labels on a real store: written where a planted word makes them safe, and nowhere else."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select

from pipeline import store
from pipeline.errors import TaxonomyError
from pipeline.filters.sentiment import STAGE as SENTIMENT_STAGE
from pipeline.judgement import RaterKind, RaterRef, Tier
from pipeline.learning.pseudo_threshold import REVIEW_REASON
from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport, scarce_labels
from pipeline.ledger.book import NewJudgement, judgements_by_text, rater_id, record
from pipeline.ledger.resolve import resolve
from pipeline.models.artefact import load_model
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig
from pipeline.runs.record import stage_run
from pipeline.store import open_session
from pipeline.store.tables.core import ModelState
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.normalise import text_id
from tests.support.stages import pseudolabel

LLM = RaterRef(RaterKind.LLM, "a-model", "1")
HUMAN = RaterRef(RaterKind.HUMAN, "aisyah")
_LINEAR = LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1)
_FILLER = """
    semalam kami pergi kedai kawan baru jalan jauh pagi petang rumah besar kecil baik cantik murah lambat cepat ramai
    budak sekolah cikgu bas kereta motor laut bukit pulau kampung bandar cerita lagu filem buku main bola
"""


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


class Field:
    """Plants texts that do or don't have the word, and what raters say of them."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy, folder: Path) -> None:
        self.engine, self.taxonomy, self.folder, self.models = engine, taxonomy, folder, folder / "models"
        self._rng = random.Random(6)

    def plant(self, count: int, *words: str, by: RaterRef | None = None, said: bool | None = None) -> list[uuid.UUID]:
        """`count` texts with `words` in them, of which `by` says that they are or aren't porn."""
        bodies = []
        for _ in range(count):
            drawn = [*self._rng.choices(_FILLER.split(), k=12), *words]
            self._rng.shuffle(drawn)
            bodies.append(" ".join(drawn))
        return self.put(bodies, by=by, said=said)

    def put(self, bodies: Sequence[str], *, by: RaterRef | None = None, said: bool | None = None) -> list[uuid.UUID]:
        ids = [text_id(body) for body in bodies]
        with open_session(self.engine) as session, session.begin():
            rows = [{"id": i, "body": "secret", "masked": body} for i, body in zip(ids, bodies, strict=True)]
            session.execute(insert(store.Text), rows)
        if by is not None and said is not None:
            self.say(by, ids, said)
        return ids

    def say(self, who: RaterRef, ids: Sequence[uuid.UUID], yes: bool, label: str = "porn") -> None:
        labels = frozenset({label})
        said = [NewJudgement(i, labels) if yes else NewJudgement(i, denied=labels) for i in ids]
        with open_session(self.engine) as session, session.begin():
            record(session, rater_id(session, who), said, taxonomy_version=self.taxonomy.version)

    def easy(self) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
        """40 and 120 texts that were judged by the word, and 50 and 60 that nobody judged; the latter."""
        self.plant(40, "lucah", by=LLM, said=True)
        self.plant(120, by=LLM, said=False)
        return self.plant(50, "lucah"), self.plant(60)

    def run(self, label: str = "porn", **more: Any) -> PseudoReport:
        return pseudolabel(self.engine, self.taxonomy, label, self.folder, **({"linear": _LINEAR, "seed": 1} | more))

    def pseudo(self) -> dict[uuid.UUID, list[store.Judgement]]:
        """What was written by pseudo-raters, text by text."""
        with open_session(self.engine) as session:
            j, r = store.Judgement, store.Rater
            found: dict[uuid.UUID, list[store.Judgement]] = {}
            for row in session.scalars(select(j).join(r, r.id == j.rater_id).where(r.kind == RaterKind.PSEUDO)):
                found.setdefault(row.text_id, []).append(row)
            return found

    def reviews(self) -> dict[uuid.UUID, float]:
        with open_session(self.engine) as session:
            r = store.Review
            query = select(r.text_id, r.inclusion_probability).where(r.reason == REVIEW_REASON)
            return dict(session.execute(query).all())

    def count(self, table: type[store.Base]) -> int:
        with open_session(self.engine) as session:
            return session.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.fixture
def field(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> Field:
    return Field(engine, taxonomy, tmp_path)


def test_texts_that_clearly_have_the_label_are_given_it(field: Field) -> None:
    having, others = field.easy()
    report = field.run()
    written = field.pseudo()
    assert report.stopped is None
    assert (report.positives, report.negatives, report.scored) == (40, 120, 110)
    assert report.precision is not None
    assert report.precision >= 0.95
    assert report.recall is not None
    assert report.recall > 0.8
    assert report.written == len(written)
    assert len(set(having) & set(written)) >= 45
    assert len(set(others) & set(written)) <= 3
    assert set(written) <= {*having, *others}
    with open_session(field.engine) as session:
        believed = {id_: resolve(judgements)["porn"] for id_, judgements in judgements_by_text(session)}
    assert all((believed[id_].value, believed[id_].tier) == (True, Tier.PSEUDO) for id_ in written)


def test_what_is_written_names_its_model_its_run_and_its_probability(field: Field) -> None:
    field.easy()
    report = field.run()
    assert report.model is not None
    model = load_model(field.models / report.model)
    assert model.manifest.purpose == "pseudo:porn"
    assert model.thresholds == {"porn": report.cut}
    with open_session(field.engine) as session:
        [rater] = session.scalars(select(store.Rater).where(store.Rater.kind == RaterKind.PSEUDO))
        [known] = session.scalars(select(store.Model))
        [run] = session.scalars(select(store.Run))
    assert rater.name == "pseudo:porn"
    assert report.model.endswith(f"-{rater.version}")
    assert (known.version, known.state, known.run_id) == (report.model, ModelState.CANDIDATE, run.id)
    assert (run.slice, run.result["written"]) == ("porn", report.written)
    for [judgement] in field.pseudo().values():
        assert judgement.run_id == run.id
        assert report.cut is not None
        assert judgement.scores["porn"] >= round(report.cut, 4)


def test_a_sample_goes_to_people_with_its_probability(field: Field) -> None:
    field.easy()
    report = field.run()
    reviews = field.reviews()
    assert report.in_review == len(reviews) == 20
    assert set(reviews) <= set(field.pseudo())
    assert list(reviews.values()) == pytest.approx([20 / report.written] * 20)


def test_few_are_looked_at_one_by_one(field: Field) -> None:
    field.easy()
    report = field.run(config=PseudoConfig(review_least=500))
    assert report.in_review == report.written
    assert field.reviews() == dict.fromkeys(field.pseudo(), 1.0)


def test_where_the_target_cannot_be_reached_nothing_is_written(field: Field) -> None:
    # judged by a coin, not by the word
    field.plant(60, by=LLM, said=True)
    field.plant(120, by=LLM, said=False)
    field.plant(50, "lucah")
    report = field.run()
    assert report.stopped == "no cut reaches a precision of 0.95 on held-out texts"
    assert (report.written, report.in_review, report.cut, report.model) == (0, 0, None, None)
    assert not field.pseudo()
    assert not field.reviews()
    assert field.count(store.Model) == 0
    assert not field.models.exists()
    with open_session(field.engine) as session:
        [run] = session.scalars(select(store.Run))
    assert (run.state, run.result["stopped"]) == ("done", report.stopped)


@pytest.mark.parametrize(("yes", "no"), [(29, 100), (100, 29), (0, 0)])
def test_too_few_texts_are_said(field: Field, yes: int, no: int) -> None:
    for count, said in ((yes, True), (no, False)):
        if count:
            field.plant(count, *(("lucah",) if said else ()), by=LLM, said=said)
    report = field.run()
    assert report.stopped == f"{yes} positive and {no} negative texts; it needs 30 of each"
    assert not field.pseudo()


def test_texts_that_are_all_alike_prove_nothing(field: Field) -> None:
    spam = "jual klip lucah murah murah hubungi kami sekarang juga di nombor ini ya kawan kawan semua"
    field.put([f"{spam} {'!' * i}" for i in range(40)], by=LLM, said=True)
    field.plant(120, by=LLM, said=False)
    field.plant(20, "lucah")
    report = field.run()
    assert report.stopped == "no cut reaches a precision of 0.95 on held-out texts"
    assert not field.pseudo()


def test_running_again_doubles_nothing_and_learns_nothing_from_itself(field: Field) -> None:
    field.easy()
    first = field.run()
    before, reviews = {id_: len(rows) for id_, rows in field.pseudo().items()}, field.reviews()
    second = field.run()
    assert (second.positives, second.negatives, second.scored) == (first.positives, first.negatives, first.scored)
    assert (second.cut, second.precision, second.model) == (first.cut, first.precision, first.model)
    assert second.written == 0
    assert {id_: len(rows) for id_, rows in field.pseudo().items()} == before
    assert field.reviews() == reviews
    assert field.count(store.Model) == 1


def test_only_texts_of_which_the_label_is_unknown_are_given_it(field: Field, engine: Engine) -> None:
    having, _ = field.easy()
    denied, contested, demoted = having[:5], having[5:10], having[10:15]
    field.say(HUMAN, denied, False)
    field.say(HUMAN, contested, True)
    field.say(RaterRef(RaterKind.HUMAN, "badrul"), contested, False)
    field.say(LLM, demoted, True)
    other_label = having[15:20]
    field.say(LLM, other_label, True, label="violence")
    with (
        stage_run(engine, SENTIMENT_STAGE) as run,
        open_session(engine) as session,
        session.begin(),
    ):
        session.execute(
            insert(store.FilterDecision),
            [
                {
                    "stage": SENTIMENT_STAGE,
                    "label": "porn",
                    "text_id": id_,
                    "kept": False,
                    "reason": "test",
                    "run_id": run.id,
                }
                for id_ in demoted
            ],
        )
    # the five that a person denied bring the precision down
    report = field.run(config=PseudoConfig(target_precision=0.8))
    written = set(field.pseudo())
    assert report.stopped is None
    assert not written & {*denied, *contested, *demoted}
    assert len(written & set(other_label)) >= 4
    assert len(written & set(having[20:])) >= 25


def test_texts_out_of_scope_and_beyond_the_limit_are_left_alone(field: Field, engine: Engine) -> None:
    having, others = field.easy()
    with open_session(engine) as session, session.begin():
        for id_ in having[:10]:
            session.get_one(store.Text, id_).in_scope = False
    assert field.run().scored == len(having) - 10 + len(others)
    assert not set(field.pseudo()) & set(having[:10])


def test_an_unknown_label_is_named(field: Field) -> None:
    with pytest.raises(TaxonomyError, match="no label 'pron'"):
        field.run("pron")


def test_scarce_labels_are_those_with_texts_enough_and_few_beside_the_others(field: Field) -> None:
    field.plant(40, by=LLM, said=True)
    hateful = field.plant(10)
    field.say(LLM, hateful, True, label="hate")
    calm = field.plant(1_300)
    field.say(LLM, calm, True, label="safe for work")
    with open_session(field.engine) as session:
        found = scarce_labels(session, field.taxonomy, limit=None, config=PseudoConfig())
        fewer = scarce_labels(session, field.taxonomy, limit=None, config=PseudoConfig(min_positives=5))
    assert found == ["porn"]
    assert set(fewer) == {"porn", "hate"}
