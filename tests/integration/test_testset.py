"""The frozen test set: it grows by whole versions, never loses a row, and is never learnt from."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from pipeline import store
from pipeline.ledger import test_set as testset
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.ledger.test_set import FrozenTest, Truth
from pipeline.store import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from tests.support.ledger import CORPUS, HUMAN, LLM, Book

_HATE = Truth(frozenset({"hate"}), frozenset({"porn", "safe for work"}))


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def book(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> Book:
    """A data set's 60 texts to learn from and 25 to test on."""
    book = Book(engine, taxonomy, tmp_path / "snapshots")
    for split, count in (("train", 40), ("dev", 20), ("test", 25)):
        judge(book, book.plant(count, split=split))
    return book


def judge(book: Book, ids: Sequence[uuid.UUID]) -> Sequence[uuid.UUID]:
    book.say(CORPUS, ids, {"hate"}, {"porn"})
    return ids


def to_test(book: Book, count: int) -> Sequence[uuid.UUID]:
    return judge(book, book.plant(count, split="test", source=f"source {uuid.uuid4()}"))


def members(book: Book, version: int) -> dict[uuid.UUID, Truth]:
    with open_session(book.engine) as session:
        return testset.truths(session, version)


def newest(book: Book) -> FrozenTest | None:
    with open_session(book.engine) as session:
        return testset.newest(session)


def splits(book: Book, **policy: int) -> dict[str | None, int]:
    return dict(Counter(row.split for row in book.take(**policy).rows))


def test_the_first_version_takes_what_there_is(book: Book) -> None:
    assert newest(book) is None
    taken = book.take()
    assert taken.test_set == newest(book)
    assert (taken.counts["test_set"]["version"], taken.counts["test_set"]["rows"]) == (1, 25)
    assert {str(one) for one in members(book, 1)} == {row.id for row in taken.rows if row.split == "test"}
    assert set(members(book, 1).values()) == {_HATE}


def test_it_grows_once_enough_texts_wait_and_by_them_all(book: Book) -> None:
    first = book.take().test_set
    to_test(book, 12)
    taken = book.take()
    # those that wait are in no split at all
    assert taken.test_set == first
    assert taken.counts["waiting_for_the_test_set"] == 12
    assert splits(book) == {"train": 40, "dev": 20, "test": 25}
    to_test(book, 9)
    taken = book.take()
    assert taken.test_set is not None
    assert (taken.test_set.version, taken.test_set.rows) == (2, 46)
    assert taken.counts["waiting_for_the_test_set"] == 0
    assert splits(book) == {"train": 40, "dev": 20, "test": 46}
    assert set(members(book, 1)) < set(members(book, 2))
    assert first is not None
    assert taken.test_set.hash != first.hash


def test_the_increment_is_a_matter_of_policy(book: Book) -> None:
    book.take()
    to_test(book, 3)
    taken = book.take(increment=3)
    assert taken.test_set is not None
    assert (taken.test_set.version, taken.test_set.rows) == (2, 28)


def test_nothing_new_makes_no_version(book: Book) -> None:
    assert book.take(increment=1).test_set == book.take(increment=1).test_set
    assert newest(book) is not None
    with open_session(book.engine) as session:
        assert session.scalars(select(store.TestSet.version)).all() == [1]


def test_a_corrected_member_is_restated_by_the_next_version_and_not_before(book: Book) -> None:
    book.take()
    [corrected, *_] = members(book, 1)
    book.say(HUMAN, [corrected], {"porn"}, {"hate"})
    rows = book.rows()
    assert (rows[corrected].split, rows[corrected].labels) == ("test", {"hate"})
    to_test(book, 20)
    assert book.rows()[corrected].labels == {"porn"}
    # what was measured on the first version can be measured again
    assert members(book, 1)[corrected] == _HATE
    assert members(book, 2)[corrected].asserted == {"porn"}
    assert len(members(book, 2)) == 45


def test_no_row_is_lost_whatever_becomes_of_its_judgements(book: Book, taxonomy: Taxonomy) -> None:
    before = book.take()
    one, two, three, *_ = members(book, 1)
    with open_session(book.engine) as session, session.begin():
        taken_back = [NewJudgement(one, withdrawn=True)]
        record(session, rater_id(session, CORPUS), taken_back, taxonomy_version=taxonomy.version)
        session.get_one(store.Text, two).in_scope = False
    book.say(LLM, [one], {"racist"})
    book.see([three], "another", "train")
    assert {uuid.UUID(row.id) for row in book.take().rows if row.split == "test"} == set(members(book, 1))
    # nor by the exclusion of their source, and a larger version holds them still
    to_test(book, 20)
    rows = book.rows(without=("korpus",))
    assert set(members(book, 1)) < set(members(book, 2)) == set(rows)
    assert (rows[one].labels, rows[one].split) == ({"hate"}, "test")
    assert {row.id for row in before.rows if row.split == "test"} <= {str(one) for one in rows}


def test_what_reads_like_a_member_is_not_learnt_from(book: Book) -> None:
    book.take()
    [member, *_] = members(book, 1)
    with open_session(book.engine) as session, session.begin():
        masked = session.get_one(store.Text, member).masked
        twin = uuid.uuid4()
        session.add(store.Text(id=twin, body="another number in it", masked=masked))
    book.say(LLM, [twin], {"porn"})
    rows = book.rows()
    assert twin not in rows
    assert rows[member].labels == {"hate"}


def test_with_too_few_judged_texts_there_is_none(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> None:
    book = Book(engine, taxonomy, tmp_path)
    judge(book, book.plant(59, split="test"))
    assert book.take().test_set is None
    assert newest(book) is None


@pytest.mark.parametrize("table", ["test_row", "test_set"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET version = 7", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_to_change_or_remove_a_row(book: Book, table: str, statement: str) -> None:
    book.take()
    before = members(book, 1)
    with pytest.raises(Exception, match="the test set is frozen"), book.engine.begin() as connection:
        connection.execute(text(statement.format(table)))
    assert members(book, 1) == before
