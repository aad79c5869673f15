"""Embedding and judging what lies in the store: each text once, and on from where it stopped."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, func, insert, select

from pipeline import store
from pipeline.errors import EncoderError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, judgements_by_text
from pipeline.raters.bootstrap import BootstrapRater
from pipeline.raters.protocol import NoVerdict, TextToJudge
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.tables.core import RunState
from pipeline.taxonomy import Taxonomy, parse_taxonomy
from pipeline.vectors.embed import EmbedReport
from pipeline.vectors.encoders.openai import OpenAIEncoder
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.table import get_vectors
from tests.support import embeddings_server
from tests.support.embeddings_server import EmbeddingsStub
from tests.support.stages import embed, fill, judge_texts

_TAXONOMY = """
labels:
  - key: hate
    name: {en: Hate, ms: Kebencian}
    definition: {en: Contempt of a group, ms: Penghinaan kumpulan}
    benign: false
    excludes: [safe for work]
    colour: "#000001"
    hotkey: "1"
    exemplars: {en: [hate one, hate two, hate three]}
  - key: safe for work
    name: {en: Safe for work, ms: Selamat}
    definition: {en: Anybody may read it, ms: Sesiapa boleh baca}
    benign: true
    excludes: [hate]
    colour: "#000002"
    hotkey: "2"
    exemplars: {en: [calm one, calm two, calm three]}
"""


class TopicEncoder:
    """Places texts by their first word, with a little of the rest; remembers what it was asked, and may break off."""

    dimension = 16

    def __init__(self, name: str = "openai:topic", *, breaks_on: str | None = None) -> None:
        self.name = name
        self.asked: list[str] = []
        self._breaks_on = breaks_on

    def encode(self, texts: Sequence[str]) -> Vectors:
        if self._breaks_on in texts:
            raise EncoderError("the graphics card fell off")
        self.asked += texts
        return unit(np.array([self._place(text) for text in texts], dtype=np.float32))

    def _place(self, text: str) -> list[float]:
        head = hashlib.blake2b(text.split()[0].encode(), digest_size=self.dimension).digest()
        rest = hashlib.blake2b(text.encode(), digest_size=self.dimension).digest()
        return [a - 127.5 + (b - 127.5) / 10 for a, b in zip(head, rest, strict=True)]


class StubbornRater:
    """Asserts `hate` on whatever begins with it, has no verdict on `odd` texts, and may break off."""

    ref = RaterRef(RaterKind.LLM, "stubborn", "1")
    details: Mapping[str, Any] = {}
    needs_vectors = False

    def __init__(self, *, breaks_on: str | None = None) -> None:
        self.asked: list[str] = []
        self._breaks_on = breaks_on

    def judge(self, texts: Sequence[TextToJudge]) -> Iterator[NewJudgement | NoVerdict]:
        for text in texts:
            if text.masked == self._breaks_on:
                raise KeyboardInterrupt
            self.asked.append(text.masked)
            if text.masked.startswith("odd"):
                yield NoVerdict(text.id, "refused")
            else:
                hateful = text.masked.startswith("hate")
                yield NewJudgement(text.id, frozenset({"hate"}) if hateful else frozenset())


def add_texts(engine: Engine, texts: Sequence[str], **more: object) -> list[uuid.UUID]:
    ids = [uuid.UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16).digest()) for text in texts]
    rows = [{"id": id_, "body": f"secret {text}", "masked": text} | more for id_, text in zip(ids, texts, strict=True)]
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text), rows)
    return ids


def vectors(engine: Engine, encoder: str, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Vectors]:
    with open_session(engine) as session:
        return get_vectors(session, encoder, ids)


def count(engine: Engine, table: type[store.Base]) -> int:
    with open_session(engine) as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def last_run(engine: Engine, stage: str) -> store.Run:
    with open_session(engine) as session:
        return session.scalars(select(store.Run).where(store.Run.stage == stage).order_by(store.Run.id.desc())).all()[0]


@pytest.fixture
def taxonomy() -> Taxonomy:
    return parse_taxonomy(_TAXONOMY.encode())


@pytest.fixture
def stub() -> Iterator[EmbeddingsStub]:
    with EmbeddingsStub() as stub:
        yield stub


def test_each_text_gets_the_vector_of_what_raters_may_see(engine: Engine) -> None:
    texts = [f"hate {n} {'long ' * n}".strip() for n in range(150)]
    ids = add_texts(engine, texts)
    encoder = TopicEncoder()
    assert embed(engine, encoder) == EmbedReport("openai:topic", 150, 0, in_use="openai:topic")
    assert sorted(encoder.asked) == sorted(texts)
    stored = vectors(engine, "openai:topic", ids)
    want = TopicEncoder().encode(texts)
    # half precision: eleven bits of each number
    np.testing.assert_allclose([stored[id_] for id_ in ids], want, atol=1e-3)


def test_only_missing_vectors_are_computed(engine: Engine) -> None:
    add_texts(engine, ["hate 1", "calm 1"])
    embed(engine, TopicEncoder())
    add_texts(engine, ["hate 2"])
    encoder = TopicEncoder()
    assert embed(engine, encoder) == EmbedReport("openai:topic", 1, 2, in_use="openai:topic")
    assert encoder.asked == ["hate 2"]
    assert embed(engine, encoder) == EmbedReport("openai:topic", 0, 3, in_use="openai:topic")
    assert encoder.asked == ["hate 2"]
    assert count(engine, store.Vector) == 3


def test_encoders_live_side_by_side(engine: Engine) -> None:
    ids = add_texts(engine, ["hate 1"])
    embed(engine, TopicEncoder())
    other = TopicEncoder("openai:it's a 100% new\\name")
    assert embed(engine, other).embedded == 1
    assert set(vectors(engine, other.name, ids)) == set(vectors(engine, "openai:topic", ids)) == set(ids)
    assert count(engine, store.Vector) == 2


def test_an_encoder_that_changed_its_dimension_must_change_its_name(engine: Engine) -> None:
    add_texts(engine, ["hate 1"])
    embed(engine, TopicEncoder())
    changed = TopicEncoder()
    changed.dimension = 8
    with pytest.raises(
        EncoderError, match="'openai:topic' gives vectors of 8 dimensions, but its stored vectors have 16"
    ):
        embed(engine, changed)


def test_texts_out_of_scope_and_duplicates_are_left_out(engine: Engine, taxonomy: Taxonomy) -> None:
    (first,) = add_texts(engine, ["hate 1"])
    add_texts(engine, ["hate 1!"], duplicate_of=first)
    add_texts(engine, ["haine 1"], in_scope=False)
    encoder = TopicEncoder()
    assert embed(engine, encoder).embedded == 1
    assert encoder.asked == ["hate 1"]
    rater = BootstrapRater(taxonomy, TopicEncoder())
    assert judge_texts(engine, rater, encoder=encoder).judged == 1
    with open_session(engine) as session:
        assert [id_ for id_, _ in judgements_by_text(session)] == [first]


def test_a_limit_keeps_to_the_same_first_texts_for_every_stage(engine: Engine) -> None:
    ids = add_texts(engine, [f"hate {n}" for n in range(20)])
    first = sorted(ids)[:5]
    assert embed(engine, TopicEncoder(), limit=5).embedded == 5
    assert set(vectors(engine, "openai:topic", ids)) == set(first)
    assert judge_texts(engine, StubbornRater(), limit=5).judged == 5
    with open_session(engine) as session:
        assert [id_ for id_, _ in judgements_by_text(session)] == first
    assert embed(engine, TopicEncoder(), limit=8) == EmbedReport("openai:topic", 3, 5, in_use="openai:topic")


def test_when_the_encoder_fails_in_the_middle_what_was_done_is_kept_and_gone_on_from(engine: Engine) -> None:
    texts = [f"hate {n}" for n in range(2_500)]
    ids = add_texts(engine, texts)
    late = texts[ids.index(sorted(ids)[2_000])]
    broken = TopicEncoder(breaks_on=late)
    with pytest.raises(EncoderError, match="the graphics card fell off"):
        embed(engine, broken)
    record = last_run(engine, "embed")
    assert record.state is RunState.FAILED
    assert record.error == "EncoderError: the graphics card fell off"
    kept = count(engine, store.Vector)
    assert 0 < kept <= 2_000
    assert record.progress_done == kept

    told: list[tuple[int, int | None]] = []
    mended = TopicEncoder()
    report = embed(engine, mended, progress=lambda done, total, what: told.append((done, total)))
    assert report == EmbedReport("openai:topic", 2_500 - kept, kept, in_use="openai:topic")
    assert len(mended.asked) == 2_500 - kept
    assert count(engine, store.Vector) == 2_500
    assert told[0] == (0, 2_500 - kept)
    assert told[-1] == (2_500 - kept, 2_500 - kept)


def test_a_server_that_fails_for_a_while_only_delays_the_vectors(engine: Engine, stub: EmbeddingsStub) -> None:
    add_texts(engine, [f"hate {n}" for n in range(100)])
    encoder = OpenAIEncoder("bge-m3", stub.url, attempts=2)
    stub.script = [embeddings_server.status(503), embeddings_server.vectors]
    stub.otherwise = embeddings_server.status(500)
    with pytest.raises(EncoderError, match="answered 500"):
        embed(engine, encoder)
    assert count(engine, store.Vector) == 0
    stub.otherwise = embeddings_server.vectors
    assert embed(engine, encoder).embedded == 100
    assert all("secret" not in text for request in stub.requests for text in request["input"])


def test_the_bootstrap_rater_judges_each_text_once(engine: Engine, taxonomy: Taxonomy) -> None:
    texts = [*(f"hate {n}" for n in range(30)), *(f"calm {n}" for n in range(20))]
    ids = add_texts(engine, texts)
    encoder = TopicEncoder()
    rater = BootstrapRater(taxonomy, encoder)
    report = judge_texts(engine, rater, taxonomy=taxonomy, encoder=encoder)
    assert (report.rater, report.judged, report.present, report.no_verdict) == ("bootstrap", 50, 0, {})
    assert report.asserted == {"hate": 30, "safe for work": 20}
    assert set(vectors(engine, "openai:topic", ids)) == set(ids)
    with open_session(engine) as session:
        found = dict(judgements_by_text(session))
        versions = set(session.scalars(select(store.Judgement.taxonomy_version)))
    assert {text: found[id_][0].asserted for id_, text in zip(ids, texts, strict=True)} == {
        text: {"hate"} if text.startswith("hate") else {"safe for work"} for text in texts
    }
    assert {pile[0].rater for pile in found.values()} == {rater.ref}
    assert versions == {taxonomy.version}

    again = judge_texts(engine, rater, taxonomy=taxonomy, encoder=encoder)
    assert (again.judged, again.present, again.asserted) == (0, 50, {})
    assert count(engine, store.Judgement) == 50


def test_a_new_version_of_a_rater_judges_everything_anew(engine: Engine, taxonomy: Taxonomy) -> None:
    add_texts(engine, ["hate 1", "calm 1"])
    encoder = TopicEncoder()
    judge_texts(engine, BootstrapRater(taxonomy, encoder), taxonomy=taxonomy, encoder=encoder)
    reworded = parse_taxonomy(_TAXONOMY.replace("hate three", "hate four").encode())
    report = judge_texts(engine, BootstrapRater(reworded, encoder), taxonomy=reworded, encoder=encoder)
    assert (report.judged, report.present) == (2, 0)
    assert count(engine, store.Judgement) == 4


def test_a_rater_that_needs_vectors_says_so_when_there_are_none(taxonomy: Taxonomy) -> None:
    rater = BootstrapRater(taxonomy, TopicEncoder())
    with pytest.raises(EncoderError, match="run `saring embed` first"):
        list(rater.judge([TextToJudge(uuid.uuid4(), "hate 1")]))


def test_texts_without_a_verdict_are_counted_by_reason_and_asked_of_again(engine: Engine) -> None:
    add_texts(engine, ["hate 1", "odd 1", "odd 2", "calm 1"])
    report = judge_texts(engine, StubbornRater())
    assert (report.judged, report.no_verdict, report.asserted) == (2, {"refused": 2}, {"hate": 1})
    rater = StubbornRater()
    again = judge_texts(engine, rater)
    assert sorted(rater.asked) == ["odd 1", "odd 2"]
    assert (again.judged, again.present, again.no_verdict) == (0, 2, {"refused": 2})


def test_judging_that_was_stopped_goes_on_and_doubles_nothing(engine: Engine) -> None:
    texts = [f"hate {n}" for n in range(2_300)]
    ids = add_texts(engine, texts)
    late = texts[ids.index(sorted(ids)[1_500])]
    with pytest.raises(KeyboardInterrupt):
        judge_texts(engine, StubbornRater(breaks_on=late))
    assert last_run(engine, "judge").state is RunState.CANCELLED
    kept = count(engine, store.Judgement)
    assert 0 < kept < 1_500
    rater = StubbornRater()
    report = judge_texts(engine, rater)
    assert (report.judged, report.present) == (2_300 - kept, kept)
    assert len(rater.asked) == 2_300 - kept
    assert count(engine, store.Judgement) == 2_300
    with open_session(engine) as session:
        assert {j.revision for _, pile in judgements_by_text(session) for j in pile} == {0}


def test_an_empty_store_is_nothing_to_do(engine: Engine, taxonomy: Taxonomy) -> None:
    encoder = TopicEncoder()
    assert embed(engine, encoder) == EmbedReport("openai:topic", 0, 0, in_use="openai:topic")
    report = judge_texts(engine, BootstrapRater(taxonomy, encoder), encoder=encoder)
    assert (report.judged, report.present) == (0, 0)


def test_a_text_without_a_vector_is_parked_and_stops_neither_the_others_nor_a_change(
    engine: Engine, stub: EmbeddingsStub, caplog: pytest.LogCaptureFixture
) -> None:
    ids = add_texts(engine, [f"teks {n}" for n in range(20)])
    assert embed(engine, TopicEncoder()).in_use == "openai:topic"
    [bad] = add_texts(engine, ["teks rosak"])

    def answer(exchange: embeddings_server.Exchange, texts: list[str]) -> None:
        broken = any("rosak" in text for text in texts)
        (embeddings_server.status(500) if broken else embeddings_server.vectors)(exchange, texts)

    stub.otherwise = answer
    encoder = OpenAIEncoder("baharu", stub.url, attempts=1)
    settings = Settings(encoder=encoder.name)
    makers = {"openai:topic": TopicEncoder(), encoder.name: encoder}
    report = fill(engine, settings, make=lambda _, name: makers[name])
    assert (report.embedded, report.in_use, report.switched) == (20, encoder.name, True)
    [parked] = report.parked
    assert parked.text == bad
    assert "answered 500" in parked.reason
    assert vectors(engine, encoder.name, [*ids, bad]).keys() == set(ids)
    assert any(str(bad) in line and "answered 500" in line for line in caplog.messages)
    assert not any("rosak" in line for line in caplog.messages)
    # once the server can, the text has its vector
    stub.otherwise = embeddings_server.vectors
    assert fill(engine, settings, make=lambda _, name: makers[name]).embedded == 1
