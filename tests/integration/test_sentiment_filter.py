"""The sentiment filter on a real store, with a sentiment model that was trained on planted words."""

from __future__ import annotations

import copy
import hashlib
import random
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import ModelError
from pipeline.filters.sentiment import REVIEW_REASON, STAGE, SentimentLabel, SentimentReport
from pipeline.filters.sentiment_model import as_labels
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, train
from pipeline.ledger.book import NewJudgement, judgements_by_text, rater_id, record
from pipeline.ledger.resolve import resolve
from pipeline.models.artefact import TrainedModel
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearClassifier, LinearConfig
from pipeline.taxonomy import Taxonomy, parse_taxonomy
from pipeline.texts.labelled import LabelledText
from tests.support.stages import sentiment_filter

LLM = RaterRef(RaterKind.LLM, "a-model", "1")
HUMAN = RaterRef(RaterKind.HUMAN, "aisyah")
_LABEL = """
  - key: {key}
    name: {{en: {key}, ms: {key}}}
    definition: {{en: {key}, ms: {key}}}
    benign: {benign}
    {rule}
    colour: "#00000{number}"
    hotkey: "{number}"
    exemplars: {{en: [one {key}, two {key}, three {key}]}}
"""
#: a rule of one sentiment, one of two, and none
_RULES = {"hate": "sentiment: [negative]", "safe": "sentiment: [positive, neutral]", "porn": ""}
_WORDS = {"negative": "benci", "neutral": "jadual", "positive": "gembira"}
_FILLER = "semalam kami pergi kedai kawan baru jalan jauh pagi petang rumah besar kecil bas kereta laut bukit"


def a_taxonomy(**rules: str) -> Taxonomy:
    content = "labels:" + "".join(
        _LABEL.format(key=key, rule=rule, number=number, benign="true" if key == "safe" else "false")
        for number, (key, rule) in enumerate((_RULES | rules).items())
    )
    return parse_taxonomy(content.encode())


def sentence(sentiment: str, rng: random.Random) -> str:
    words = [*rng.choices(_FILLER.split(), k=9), *[_WORDS[sentiment]] * 2]
    rng.shuffle(words)
    return " ".join(words)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """Knows the sentiment by one word."""
    rng = random.Random(1)
    rows = [LabelledText(sentence(name, rng), sentiment=name) for name in _WORDS for _ in range(80)]
    config = TrainConfig(
        purpose="sentiment",
        exclusive=True,
        linear=LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1),
    )
    return train(gather(as_labels(rows), tuple(_WORDS)), config, tmp_path_factory.mktemp("models")).model


class Field:
    """Plants texts of a sentiment, and what raters say of them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._rng = random.Random(3)

    def plant(self, sentiment: str, count: int, labels: set[str], by: RaterRef = LLM) -> list[uuid.UUID]:
        """`count` texts that `by` gives `labels`."""
        bodies = [sentence(sentiment, self._rng) for _ in range(count)]
        ids = [uuid.UUID(bytes=hashlib.blake2b(body.encode(), digest_size=16).digest()) for body in bodies]
        with Session(self.engine) as session, session.begin():
            rows = [{"id": i, "body": "secret", "masked": body} for i, body in zip(ids, bodies, strict=True)]
            session.execute(insert(store.Text), rows)
        self.say(by, ids, labels)
        return ids

    def say(self, who: RaterRef, ids: Sequence[uuid.UUID], labels: set[str]) -> None:
        with Session(self.engine) as session, session.begin():
            record(
                session, rater_id(session, who), [NewJudgement(i, frozenset(labels)) for i in ids], taxonomy_version="t"
            )

    def decisions(self, label: str) -> dict[uuid.UUID, store.FilterDecision]:
        with Session(self.engine) as session:
            d = store.FilterDecision
            return {row.text_id: row for row in session.scalars(select(d).where(d.stage == STAGE, d.label == label))}

    def kept(self, label: str, ids: Sequence[uuid.UUID]) -> float:
        """Share of the texts that were kept; all must have been decided on."""
        decided = self.decisions(label)
        return float(np.mean([decided[i].kept for i in ids]))

    def believed(self) -> dict[uuid.UUID, set[str]]:
        """The labels that each text is believed to have."""
        with Session(self.engine) as session:
            return {
                id_: {key for key, decision in resolve(judgements).items() if decision.value}
                for id_, judgements in judgements_by_text(session)
            }

    def reviews(self) -> dict[uuid.UUID, float]:
        with Session(self.engine) as session:
            r = store.Review
            query = select(r.text_id, r.inclusion_probability).where(r.reason == REVIEW_REASON)
            return dict(session.execute(query).all())


@pytest.fixture
def field(engine: Engine) -> Field:
    return Field(engine)


@pytest.fixture
def taxonomy() -> Taxonomy:
    return a_taxonomy()


def of(report: SentimentReport, label: str) -> SentimentLabel:
    [found] = [one for one in report.labels if one.label == label]
    return found


def test_a_label_stays_where_its_sentiment_can_be_and_goes_elsewhere(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    angry, glad = field.plant("negative", 40, {"hate"}), field.plant("positive", 30, {"hate"})
    calm, cheerful = field.plant("neutral", 25, {"safe"}), field.plant("positive", 25, {"safe"})
    upset = field.plant("negative", 20, {"safe"})

    report = sentiment_filter(engine, taxonomy, model, tmp_path)

    assert field.kept("hate", angry) == field.kept("safe", calm + cheerful) == 1
    assert field.kept("hate", glad) == field.kept("safe", upset) == 0
    assert (of(report, "hate").kept, of(report, "hate").dropped) == (40, 30)
    assert of(report, "safe") == SentimentLabel("safe", ("positive", "neutral"), 50, 20, 20)
    assert (report.scored, report.model) == (140, model.manifest.version)
    decided = field.decisions("hate")
    assert set(decided) == {*angry, *glad}
    assert all(d.kept == (d.score >= d.cut) and d.run_id == report.run_id for d in decided.values())
    assert decided[angry[0]].reason == "sentiment can be negative"
    assert decided[glad[0]].reason == "sentiment is hardly negative (below 0.2)"


def test_only_labels_with_a_rule_are_decided(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    ids = field.plant("positive", 10, {"porn", "hate"})
    report = sentiment_filter(engine, taxonomy, model, tmp_path)
    assert [one.label for one in report.labels] == ["hate", "safe"]
    assert not field.decisions("porn")
    assert set(field.decisions("hate")) == set(ids)
    assert field.believed() == {id_: {"porn"} for id_ in ids}


def test_a_demoted_label_is_no_longer_believed(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    angry, glad = field.plant("negative", 10, {"hate"}), field.plant("positive", 10, {"hate"})
    assert field.believed() == {id_: {"hate"} for id_ in (*angry, *glad)}
    sentiment_filter(engine, taxonomy, model, tmp_path)
    believed = field.believed()
    assert all(believed[i] == {"hate"} for i in angry)
    assert not any(believed[i] for i in glad)


def test_what_people_and_data_sets_said_is_not_decided(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    others = [
        id_
        for who in (HUMAN, RaterRef(RaterKind.EXTERNAL, "a-corpus"), RaterRef(RaterKind.PSEUDO, "pseudo:hate"))
        for id_ in field.plant("positive", 10, {"hate"}, by=who)
    ]
    both = field.plant("positive", 10, {"hate"})
    field.say(HUMAN, both, {"hate"})
    machine = field.plant("positive", 10, {"hate"}, by=RaterRef(RaterKind.BOOTSTRAP, "bootstrap"))

    report = sentiment_filter(engine, taxonomy, model, tmp_path)

    assert report.scored == 20
    assert set(field.decisions("hate")) == set(both + machine)
    believed = field.believed()
    assert all(believed[i] == {"hate"} for i in others + both)
    assert not any(believed[i] for i in machine)


@pytest.mark.parametrize(("dropped", "drawn"), [(12, 12), (50, 20), (600, 30)])
def test_a_sample_of_what_was_demoted_goes_to_people_with_its_probability(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, dropped: int, drawn: int, tmp_path: Path
) -> None:
    field.plant("negative", 15, {"hate"})
    glad = field.plant("positive", dropped, {"hate"})
    report = sentiment_filter(engine, taxonomy, model, tmp_path)
    reviews = field.reviews()
    assert of(report, "hate").in_review == len(reviews) == drawn
    assert set(reviews) <= set(glad)
    assert list(reviews.values()) == pytest.approx([drawn / dropped] * drawn)


def test_running_again_changes_nothing(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    field.plant("negative", 30, {"hate"})
    field.plant("positive", 60, {"hate", "safe"})
    field.plant("negative", 40, {"safe"})
    everything = text("""
        SELECT 'decision', count(*), md5(string_agg(concat_ws(' ', label, text_id, kept, score, cut, reason), ','
            ORDER BY label, text_id)) FROM filter_decision
        UNION ALL SELECT 'review', count(*), md5(string_agg(r::text, ',' ORDER BY r::text)) FROM review r
        UNION ALL SELECT 'sentiment', count(*), md5(string_agg(s::text, ',' ORDER BY s::text)) FROM text_sentiment s
    """)
    first = sentiment_filter(engine, taxonomy, model, tmp_path, seed=4)
    with engine.connect() as connection:
        before = connection.execute(everything).all()
    second = sentiment_filter(engine, taxonomy, model, tmp_path, seed=4)
    with engine.connect() as connection:
        assert connection.execute(everything).all() == before
    assert (first.scored, second.scored) == (130, 0)
    assert second.labels == first.labels


def test_only_new_texts_are_scored_and_another_model_scores_all_again(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    field.plant("negative", 10, {"hate"})
    sentiment_filter(engine, taxonomy, model, tmp_path)
    more = field.plant("positive", 5, {"hate"})
    assert sentiment_filter(engine, taxonomy, model, tmp_path).scored == 5
    assert field.kept("hate", more) == 0
    newer = TrainedModel(model.classifier, model.manifest.model_copy(update={"version": "sentiment-2"}))
    report = sentiment_filter(engine, taxonomy, newer, tmp_path)
    assert (report.scored, report.model) == (15, "sentiment-2")


def test_a_lower_cut_believes_more(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    glad = field.plant("positive", 20, {"hate"})
    sentiment_filter(engine, taxonomy, model, tmp_path)
    assert field.kept("hate", glad) == 0
    sentiment_filter(engine, taxonomy, model, tmp_path, cut=0.0)
    assert field.kept("hate", glad) == 1
    assert field.believed() == {id_: {"hate"} for id_ in glad}


def test_decisions_go_with_the_judgement_and_with_the_rule(
    field: Field, engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    glad = field.plant("positive", 10, {"hate"})
    upset = field.plant("negative", 10, {"safe"})
    sentiment_filter(engine, taxonomy, model, tmp_path)
    field.say(LLM, glad[:4], {"porn"})
    sentiment_filter(engine, taxonomy, model, tmp_path)
    assert set(field.decisions("hate")) == set(glad[4:])
    sentiment_filter(engine, a_taxonomy(hate=""), model, tmp_path)
    assert not field.decisions("hate")
    believed = field.believed()
    assert all(believed[i] == {"hate"} for i in glad[4:])
    assert not any(believed[i] for i in upset)


def test_a_model_of_something_else_is_refused(
    field: Field, engine: Engine, session: Session, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    field.plant("positive", 10, {"hate"})
    labels = tuple(label.model_copy(update={"key": f"not {label.key}"}) for label in model.manifest.labels)
    classifier = copy.copy(model.classifier)
    assert isinstance(classifier, LinearClassifier)
    classifier._labels = tuple(label.key for label in labels)
    other = TrainedModel(classifier, model.manifest.model_copy(update={"labels": labels, "version": "sfw-1"}))
    with pytest.raises(ModelError, match="sfw-1 is not a sentiment model"):
        sentiment_filter(engine, taxonomy, other, tmp_path)
    assert not session.scalars(select(store.FilterDecision)).all()
    assert not session.scalars(select(store.Run)).all()


def test_an_empty_store_is_nothing_to_do(
    engine: Engine, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    report = sentiment_filter(engine, taxonomy, model, tmp_path)
    assert report.scored == 0
    assert all((one.kept, one.dropped, one.in_review) == (0, 0, 0) for one in report.labels)


def test_the_run_records_what_was_decided(
    field: Field, engine: Engine, session: Session, taxonomy: Taxonomy, model: TrainedModel, tmp_path: Path
) -> None:
    field.plant("positive", 10, {"hate"})
    report = sentiment_filter(engine, taxonomy, model, tmp_path)
    run = session.get_one(store.Run, report.run_id)
    assert (run.stage, run.state, run.params["model"]) == (STAGE, "done", model.manifest.version)
    assert run.result is not None
    assert {one["label"]: one["dropped"] for one in run.result["labels"]} == {"hate": 10, "safe": 0}
