"""What a reviewer settled, in each room that reads judgements by people."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.judgement import ADJUDICATION, RaterKind, RaterRef, Tier
from pipeline.learning.due import news_since_training
from pipeline.ledger.book import NewJudgement, judgements_by_text, rater_id, record
from pipeline.ledger.consensus.votes import read_votes
from pipeline.ledger.decisions import DecidedText, decided_texts
from pipeline.ledger.settled import settled_texts
from pipeline.queue.people import what_people_decided
from pipeline.sharing.pseudonyms import pseudonym
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from sync.quality.review import find_disagreements
from sync.quality.truth import known_without
from tests.support.ledger import CORPUS, LLM, Book

AISYAH, BALA = (RaterRef(RaterKind.HUMAN, "label-studio", str(i)) for i in (1, 2))
REVIEWER = RaterRef(RaterKind.HUMAN, ADJUDICATION, "7")


@pytest.fixture
def book(engine: Engine, tmp_path: Path) -> Book:
    return Book(engine, load_taxonomy(), tmp_path)


def decided(book: Book) -> dict[uuid.UUID, DecidedText]:
    with open_session(book.engine) as session:
        return {text.id: text for text in decided_texts(session, book.taxonomy)}


def dispute(book: Book, count: int = 1, **where: str) -> list[uuid.UUID]:
    ids = book.plant(count, **where)
    book.say(AISYAH, ids, {"hate"})
    book.say(BALA, ids, set(), {"hate"})
    return ids


def test_a_settled_dispute_teaches_and_counts_as_news(book: Book) -> None:
    [text] = dispute(book)
    assert decided(book)[text].decisions["hate"].tier is Tier.CONTESTED
    with open_session(book.engine) as session:
        before = news_since_training(session).judgements
    book.say(REVIEWER, [text], set(), {"hate"})
    after = decided(book)[text]
    assert (after.decisions["hate"].value, after.decisions["hate"].tier) == (False, Tier.GOLD)
    assert "hate" in after.trusted
    with open_session(book.engine) as session:
        assert news_since_training(session).judgements == before + 1


def test_a_text_that_came_to_a_reviewer_by_a_doubt_is_not_held_out(book: Book) -> None:
    """Suspected texts are harder than others: a test set of them would not measure the stream."""
    doubted = book.plant(40)
    book.say(LLM, doubted, {"hate"})
    book.say(REVIEWER, doubted, set(), {"hate"})
    disputed, imported = dispute(book, 40), book.plant(3, source="ujian", split="test")
    book.say(CORPUS, imported, {"hate"})
    book.say(REVIEWER, [*disputed, *imported], {"hate"})
    texts = decided(book)
    assert {texts[i].split for i in doubted} == {"train"}
    assert {texts[i].split for i in disputed} == {None}
    assert {texts[i].split for i in imported} == {"test"}


def test_reviewers_are_the_measure_of_others_and_not_measured(book: Book) -> None:
    ids = dispute(book, 3, split="train")
    book.say(LLM, ids, {"hate"})
    book.say(REVIEWER, ids, {"hate"})
    with open_session(book.engine) as session:
        votes = read_votes(session, book.taxonomy, people=True)
        piles = dict(judgements_by_text(session))
    assert set(votes.raters) == {AISYAH, BALA, LLM}
    hate = votes.labels.index("hate")
    for rater in votes.raters:
        assert votes.known[votes.of(rater), hate].tolist() == [1, 1, 1]
    for pile in piles.values():
        for volunteer in (AISYAH, BALA):
            known = known_without(pile, volunteer, planted_in=None, excludes=book.taxonomy.excludes)
            assert known.labels["hate"] is True
            assert not known.rests_on_data_sets


def test_one_reviewer_is_enough_to_know_a_text(book: Book) -> None:
    settled, single = dispute(book), book.plant(1)
    book.say(AISYAH, single, {"porn"})
    book.say(REVIEWER, settled, {"hate"})
    with open_session(book.engine) as session:
        people = what_people_decided(session, book.taxonomy)
    assert (people.gold["hate"], people.gold["porn"]) == (1, 1)
    assert [known.id for known in people.known] == settled


def test_a_settlement_that_was_undone_settles_nothing(book: Book) -> None:
    first, second = dispute(book, 2)
    with open_session(book.engine) as session, session.begin():
        reviewer = rater_id(session, REVIEWER)
        for text, withdrawn in ((first, False), (second, False), (second, True)):
            said = NewJudgement(
                text,
                frozenset() if withdrawn else frozenset({"hate"}),
                external_ref="review:1",
                withdrawn=withdrawn,
            )
            record(session, reviewer, [said], taxonomy_version="t1")
    with open_session(book.engine) as session:
        assert settled_texts(session) == {first}
    assert decided(book)[second].decisions["hate"].tier is Tier.CONTESTED


def test_a_settled_text_asks_no_other_volunteer(book: Book) -> None:
    [text] = dispute(book)
    at = datetime(2026, 11, 29, tzinfo=UTC)
    with open_session(book.engine) as session, session.begin():
        project = session.execute(
            insert(store.Project)
            .values(url="http://x", label_studio_id=1, label_studio_created_at=at, title="p", harsh_cap=9)
            .returning(store.Project.id)
        ).scalar_one()
        session.execute(
            insert(store.Task).values(
                project_id=project,
                text_id=text,
                label_studio_id=7,
                strategy="random",
                reason="r",
                inclusion_probability=1.0,
                state="open",
            )
        )
        for number, (who, chosen) in enumerate(((AISYAH, ["hate"]), (BALA, ["informative"]))):
            session.execute(
                insert(store.Annotation).values(
                    project_id=project,
                    label_studio_id=number,
                    created_at=at,
                    updated_at=at,
                    task_id=7,
                    text_id=text,
                    rater_id=rater_id(session, who),
                    state="submitted",
                    chosen=chosen,
                    change="scratch",
                )
            )
    with open_session(book.engine) as session:
        assert [one.text_id for one in find_disagreements(session, project)] == [text]
    book.say(REVIEWER, [text], {"hate"})
    with open_session(book.engine) as session:
        assert find_disagreements(session, project) == []


def test_the_account_of_a_reviewer_has_a_pseudonym_of_its_own() -> None:
    key = bytes(32)
    names = {pseudonym(key, RaterRef(RaterKind.HUMAN, name, "7")) for name in (ADJUDICATION, "label-studio")}
    assert len(names) == 2
    assert not any(name.removeprefix("person-") == "7" for name in names)
