"""Erasing the words of texts on request, over a real PostgreSQL: they are nowhere, and what was judged stays."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.gate.report import read_gate
from pipeline.ledger import test_set as testset
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.ledger.decisions import decided_texts
from pipeline.store import open_session
from pipeline.store.public_ids import PublicIds
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.core import ModelState
from pipeline.store.tables.human_loop import AnnotationState, Change
from pipeline.store.tables.volunteers import AnswerKind
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.normalise import text_id
from pipeline.vectors.table import put_vectors, register_encoder
from saring.accounts.people import add_account
from tests.support.commands import answered, refused, typed
from tests.support.ledger import CORPUS, LLM, Book, RuleLedger
from tests.support.queue import Space
from tests.support.rows import jsonl, take

_TAXONOMY = load_taxonomy()
#: words that no other text has, and no code
_WORD = "zamrudkelabu"
_TEXT = f"jiran saya {_WORD} tinggal di lorong tiga, telefon 012-345 6789"
_COPY = _TEXT + " !"
_OTHER = "harga minyak naik lagi minggu ini, ramai orang mengeluh"
_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_VOLUNTEER = RaterRef(RaterKind.HUMAN, "label-studio", "7")


def public(engine: Engine, body: str) -> str:
    with open_session(engine) as session:
        return str(PublicIds.of_store(session).of(text_id(body)))


def places(engine: Engine, word: str) -> list[str]:
    """The tables that have a row with the word, in any column."""
    with engine.connect() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        return sorted(
            table
            for table in tables
            if connection.scalar(
                text(f'SELECT count(*) FROM "{table}" AS one WHERE one::text LIKE :word'), {"word": f"%{word}%"}
            )
        )


def erase(environment: dict[str, str], *words: str) -> dict[str, Any]:
    return answered(typed(environment, "erase", *words, "--why", "request of 1 November", "--yes", "--json"))


@pytest.fixture
def known(engine: Engine, tmp_path: Path) -> Engine:
    """A store in which a text is quoted wherever a text can be."""
    rows = [{"id": "aduan-zamrudkelabu", "text": _TEXT}, {"id": "b", "text": _OTHER}]
    take(engine, jsonl(tmp_path / "forum.jsonl", rows), source="forum")
    one = text_id(_TEXT)
    with open_session(engine) as session, session.begin():
        masked = session.get_one(store.Text, one).masked
        quoted = f'it says "{_WORD}"'
        for rater, labels in ((LLM, {"harassment"}), (_VOLUNTEER, {"harassment", "insult"} & set(_TAXONOMY.keys))):
            said = [NewJudgement(one, frozenset(labels), explanation=quoted)]
            record(session, rater_id(session, rater), said, taxonomy_version=_TAXONOMY.version)
        register_encoder(session, Space())
        put_vectors(session, Space.name, [one], np.eye(1, Space.dimension, dtype=np.float32))
        _quote(session, one, masked, quoted)
    assert places(engine, _WORD) == [
        *("annotation", "event", "figure", "judgement", "llm_reply", "norming_vote", "prediction", "report"),
        *("text", "text_source", "translation"),
    ]
    return engine


def _quote(session: Session, one: uuid.UUID, masked: str, quoted: str) -> None:
    account = add_account(session, "aina", Role.VIEWER)
    project = session.scalars(
        insert(store.Project)
        .values(url="http://ls", label_studio_id=1, label_studio_created_at=_NOW, title="t", harsh_cap=9)
        .returning(store.Project.id)
    ).one()
    said = session.scalars(select(store.Judgement.id).where(store.Judgement.text_id == one)).first()
    values: dict[Any, dict[str, Any]] = {
        store.Annotation: {
            "project_id": project,
            "label_studio_id": 1,
            "created_at": _NOW,
            "updated_at": _NOW,
            "task_id": 1,
            "text_id": one,
            "rater_id": rater_id(session, _VOLUNTEER),
            "state": AnnotationState.SUBMITTED,
            "change": Change.SCRATCH,
            "comment": quoted,
        },
        store.Event: {"action": "ANNOTATION_CREATED", "body": {"task": [{"id": 1, "data": {"text": masked}}]}},
        store.LlmReply: {
            "key": uuid.uuid4(),
            "rater": "llm",
            "model": "m",
            "prompt": "p",
            "source_id": text_id(masked),
            "reply": quoted,
            "form": "json",
            "seconds": 1.0,
            "cost": 0.5,
        },
        store.Translation: {
            "source_id": text_id(masked),
            "language": "en",
            "translator": "t",
            "body": f"my neighbour {_WORD} lives here",
        },
        store.Prediction: {
            "project_id": project,
            "version": "v",
            "text_id": one,
            "labels": [],
            "scores": {},
            "why": {"harassment": quoted},
        },
        store.NormingWeek: {"week": date(2026, 11, 2), "looked_at": _NOW},
        store.NormingText: {"week": date(2026, 11, 2), "place": 1, "text_id": one, "labels": [], "division": 0.5},
        store.NormingVote: {
            "id": uuid.uuid4(),
            "account_id": account.id,
            "text_id": one,
            "kind": AnswerKind.LABELS,
            "reason": quoted,
        },
        store.Report: {
            "id": uuid.uuid4(),
            "account_id": account.id,
            "application": "app",
            "reference": "r",
            "text_id": one,
            "judgement_id": said,
            "reason": quoted,
        },
        store.Figure: {"name": "f", "value": {"example": masked}, "as_of": _NOW, "seconds": 1.0},
    }
    for table, row in values.items():
        session.execute(insert(table).values(**row))


def test_the_words_are_nowhere_and_the_judgements_stay(known: Engine, environment: dict[str, str]) -> None:
    before = judgements(known)
    report = erase(environment, public(known, _TEXT))
    assert places(known, _WORD) == []
    assert (report["texts"], report["explanations"], report["comments"], report["replies"]) == (1, 2, 3, 2)
    assert judgements(known) == before, "who said which labels, and when"
    like = refused(typed(environment, "search", "--like", str(text_id(_TEXT))))
    assert "were erased" in like and "saring embed" not in like
    with open_session(known) as session:
        assert {one.masked for one in decided_texts(session, _TAXONOMY)} == set()
        assert session.scalar(select(func.sum(store.LlmReply.cost))) == 0.5, "what was paid counts for budgets"
        assert session.scalar(select(func.count()).select_from(store.Vector)) == 0
        (run,) = session.scalars(select(store.Run).where(store.Run.stage == "erase"))
        assert run.params == {"why": "request of 1 November", "texts": [public(known, _TEXT)]}


def judgements(engine: Engine) -> list[tuple[Any, ...]]:
    j = store.Judgement
    with open_session(engine) as session:
        return [tuple(row) for row in session.execute(select(j.id, j.rater_id, j.text_id, j.asserted, j.created_at))]


def test_a_file_that_has_it_is_read_without_it(known: Engine, environment: dict[str, str], tmp_path: Path) -> None:
    erase(environment, public(known, _TEXT))
    again = take(known, jsonl(tmp_path / "again.jsonl", [{"id": "x", "text": _TEXT}, {"id": "b", "text": _OTHER}]))
    assert again.rejected == {"the text was erased": 1}
    assert places(known, _WORD) == []


def test_twice_changes_nothing(known: Engine, environment: dict[str, str]) -> None:
    erase(environment, public(known, _TEXT))
    report = erase(environment, public(known, _TEXT))
    assert (report["texts"], report["explanations"], report["tasks"]) == (0, 0, 0)


def test_near_duplicates_are_named_and_erased_on_request(
    known: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    assert take(known, jsonl(tmp_path / "more.jsonl", [{"id": "c", "text": _COPY}])).near_duplicates == 1
    report = erase(environment, public(known, _TEXT))
    assert report["near_duplicates"] == [public(known, _COPY)]
    with open_session(known) as session:
        heir = session.get_one(store.Text, text_id(_COPY))
        assert (heir.in_scope, heir.duplicate_of, _WORD in heir.masked) == (True, None, True)
    shown = typed(
        environment, "erase", public(known, _COPY), "--why", "the same request", "--yes", "--with-near-duplicates"
    )
    assert "1 text erased" in shown.stdout
    assert places(known, _WORD) == []


def test_all_near_duplicates_at_once(known: Engine, environment: dict[str, str], tmp_path: Path) -> None:
    take(known, jsonl(tmp_path / "more.jsonl", [{"id": "c", "text": _COPY}]))
    report = erase(environment, public(known, _COPY), "--with-near-duplicates")
    assert (report["texts"], report["near_duplicates"]) == (2, [])
    assert places(known, _WORD) == []


def test_snapshots_and_the_test_set_lose_it_and_models_that_learnt_from_it_are_named(
    engine: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    book = Book(engine, _TAXONOMY, tmp_path / "snapshots")
    ids = {split: book.plant(count, split=split) for split, count in (("train", 40), ("dev", 20), ("test", 25))}
    for some in ids.values():
        book.say(CORPUS, some, {"hate"}, {"porn"})
    frozen = book.take()
    learnt, measured = ids["train"][0], ids["test"][0]
    with open_session(engine) as session, session.begin():
        session.add(_model(frozen.id))
        public_ids = [str(PublicIds.of_store(session).of(one)) for one in (learnt, measured)]
    report = erase(environment, *public_ids)
    assert report["models"] == ["sfw-1"]
    rows = {row["id"]: row for row in pq.read_table(frozen.path).to_pylist()}
    assert (len(rows), rows[str(learnt)]["text"], rows[str(measured)]["text"]) == (85, "", "")
    assert rows[str(ids["train"][1])]["text"].startswith("baris nombor")
    with open_session(engine) as session:
        members = testset.rows_of(session, 1)
    assert (len(members), str(measured) in {row.id for row in members}) == (24, False)
    assert len(book.take().rows) == 83


def test_examples_of_the_gate_go_and_pages_that_quote_it_are_named(
    engine: Engine, environment: dict[str, str], new_home: Path
) -> None:
    ledger = RuleLedger(engine, _TAXONOMY, new_home)
    learnt = ledger.plant({"train": 100, "dev": 40, "test": 40})[:100]
    ledger.retrain()
    ledger.say(RaterRef(RaterKind.HUMAN, "badrul"), learnt, flip=True)
    ledger.retrain()
    [folder] = [path.parent for path in (new_home / "models").glob("*/gate.json") if read_flips(path.parent)]
    flips = read_flips(folder)
    words = flips[0]["text"]
    pages = new_home / "reports"
    pages.mkdir()
    (pages / "quoting.html").write_text(f"<p>{words}</p>")
    (pages / "other.html").write_text("<p>nothing</p>")
    with open_session(engine) as session:
        one = session.scalars(select(store.Text.id).where(store.Text.masked == words)).one()
        public_id = str(PublicIds.of_store(session).of(one))
    damaged = new_home / "models" / "sfw-damaged" / "gate.json"
    damaged.parent.mkdir()
    damaged.write_text("{")
    report = erase(environment, public_id)
    assert report["pages"] == [str(pages / "quoting.html"), str(damaged)]
    assert read_flips(folder) == [flip for flip in flips if flip["text"] != words]
    assert words not in (folder / "gate.html").read_text()


def read_flips(folder: Path) -> list[dict[str, Any]]:
    return list((read_gate(folder) or {})["flips"])


def test_what_a_stage_writes_afterwards_goes_with_the_next_call(known: Engine, environment: dict[str, str]) -> None:
    one = public(known, _TEXT)
    erase(environment, one)
    with open_session(known) as session, session.begin():
        put_vectors(session, Space.name, [text_id(_TEXT)], np.eye(1, Space.dimension, dtype=np.float32))
        late = [NewJudgement(text_id(_TEXT), frozenset({"insult"} & set(_TAXONOMY.keys)), explanation=f"late: {_WORD}")]
        record(session, rater_id(session, RaterRef(RaterKind.LLM, "late", "1")), late, taxonomy_version="t")
    assert places(known, _WORD) == ["judgement"]
    assert erase(environment, one)["explanations"] == 1
    assert places(known, _WORD) == []
    with open_session(known) as session:
        assert session.scalar(select(func.count()).select_from(store.Vector)) == 0


def _model(snapshot: int) -> store.Model:
    return store.Model(
        version="sfw-1",
        purpose="sfw",
        backend="linear",
        state=ModelState.CHAMPION,
        labels=["hate"],
        thresholds={},
        metrics={},
        artefact_hash="",
        path="",
        snapshot_id=snapshot,
        taxonomy_version="t",
    )


def test_the_ledger_takes_no_other_change(known: Engine, environment: dict[str, str]) -> None:
    j = store.Judgement
    with pytest.raises(DBAPIError, match="append-only"), open_session(known) as session, session.begin():
        session.execute(update(j).values(explanation=None))
    erase(environment, public(known, _TEXT))
    for change in ({"asserted": []}, {"explanation": "another"}, {"withdrawn": True}):
        with pytest.raises(DBAPIError, match="append-only"), open_session(known) as session, session.begin():
            session.execute(update(j).values(**change))


def test_what_is_missing_is_asked_for(known: Engine, environment: dict[str, str]) -> None:
    one = public(known, _TEXT)
    assert "add --yes" in refused(typed(environment, "erase", one, "--why", "a request"), 2)
    assert "--why" in refused(typed(environment, "erase", one, "--yes", "--why", " "), 2)
    assert "no text has the id" in refused(typed(environment, "erase", str(uuid.uuid4()), "--yes", "--why", "w"), 2)
    assert _WORD in "".join(bodies(known))


def bodies(engine: Engine) -> Sequence[str]:
    with open_session(engine) as session:
        return session.scalars(select(store.Text.body)).all()
