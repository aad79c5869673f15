"""Snapshots of a real ledger: what goes in, in which split, and that the same ledger gives the same one."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline import store
from pipeline.errors import NotEnoughLabels
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.sets.balance import Balance
from pipeline.ledger.held_out import SHARE, kept_split
from pipeline.store import open_session
from pipeline.store.tables.human_loop import TaskState
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink
from tests.support.ledger import CORPUS, HUMAN, LLM, PSEUDO, Book


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def book(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> Book:
    return Book(engine, taxonomy, tmp_path / "snapshots")


def test_the_same_ledger_gives_the_same_snapshot_stored_once(book: Book) -> None:
    ids = book.plant(80)
    book.say(HUMAN, ids, {"hate"}, {"porn"})
    first, second = book.take(), book.take()
    assert (second.id, second.hash, second.path) == (first.id, first.hash, first.path)
    assert book.stored() == 1
    assert [path.name for path in book.folder.iterdir()] == [f"{first.hash}.parquet"]
    trained = [uuid.UUID(row.id) for row in first.rows if row.split == "train"]
    book.say(HUMAN, trained[:1], {"racist"})
    third = book.take()
    assert third.hash != first.hash
    assert book.stored() == 2
    assert first.path.is_file()


def test_the_file_holds_what_was_frozen_and_can_be_trained_from(book: Book) -> None:
    book.say(HUMAN, book.plant(70), {"hate"}, {"porn"})
    book.say(LLM, book.plant(30), {"safe for work"})
    taken = book.take()
    rejects = RejectSink()
    rows = list(read_labelled([str(taken.path)], rejects))
    assert not rejects.counts
    assert {(row.id, row.text, row.labels, row.not_labels, row.split, row.source) for row in rows} == {
        (row.id, row.text, row.labels, row.not_labels, row.split, row.source) for row in taken.rows
    }
    assert "secret" not in {row.text for row in rows}
    assert taken.counts["texts"] == 100
    assert taken.counts["judged_by_people_or_data_sets"] == 70
    assert taken.counts["tiers"] == {"gold": 70, "silver": 30}


def test_what_machines_decided_is_for_training_only(book: Book) -> None:
    people = book.plant(100)
    book.say(HUMAN, people, {"hate"})
    machines, pseudo = book.plant(100), book.plant(50)
    book.say(LLM, machines, {"hate"})
    book.say(PSEUDO, pseudo, {"porn"})
    rows = book.rows()
    assert {rows[id_].split for id_ in machines + pseudo} == {"train"}
    splits = Counter(rows[id_].split for id_ in people)
    assert all(10 <= splits[name] <= 32 for name in ("dev", "test"))
    assert rows[pseudo[0]].labels == {"porn"}


def test_held_out_texts_speak_only_of_labels_that_people_decided(book: Book) -> None:
    ids = book.plant(120)
    book.say(LLM, ids, {"porn", "hate"}, {"violence"})
    book.say(HUMAN, ids[:60], set(), {"hate"})
    book.say(CORPUS, ids[60:], {"racist"})
    rows = book.rows()
    held = [row for row in rows.values() if row.split != "train"]
    trained = [row for row in rows.values() if row.split == "train"]
    assert {row.split for row in held} == {"dev", "test"}
    # what asserting a violation says of `safe for work` comes with it
    assert {(row.labels, row.not_labels) for row in held} == {
        (frozenset(), frozenset({"hate"})),
        (frozenset({"racist"}), frozenset({"safe for work"})),
    }
    assert {row.labels for row in trained} == {frozenset({"porn"}), frozenset({"porn", "hate", "racist"})}


def test_a_split_that_the_source_gave_is_kept(book: Book) -> None:
    given = {split: book.plant(40, split=split) for split in ("train", "dev", "test")}
    for ids in given.values():
        book.say(CORPUS, ids, {"hate"})
    rows = book.rows()
    assert {split: {rows[id_].split for id_ in ids} for split, ids in given.items()} == {
        split: {split} for split in given
    }


@pytest.mark.parametrize(
    ("one", "other", "kept"),
    [
        ("train", "test", "test"),
        ("test", "train", "test"),
        ("train", "dev", "dev"),
        ("dev", "test", "test"),
        ("test", "dev", "test"),
        (None, "test", "test"),
    ],
)
def test_of_several_splits_the_most_protected_is_kept(book: Book, one: str | None, other: str, kept: str) -> None:
    ids = book.plant(60, source="a", split=one)
    book.see(ids, "b", other)
    book.say(CORPUS, ids, {"hate"})
    rows = book.rows()
    assert {row.split for row in rows.values()} == {kept}
    assert {row.source for row in rows.values()} == {"a,b"}


def test_a_text_stays_in_its_split_when_more_texts_arrive(book: Book) -> None:
    ids = book.plant(100)
    book.say(HUMAN, ids, {"hate"})
    before = {id_: row.split for id_, row in book.rows().items()}
    book.say(HUMAN, book.plant(150), {"porn"})
    book.say(LLM, book.plant(100), {"hate"})
    book.say(HUMAN, ids[:50], {"racist"})
    after = book.rows()
    assert {id_: after[id_].split for id_ in ids} == before
    assert len(after) == 350


def test_too_few_judged_texts_are_not_held_back(book: Book) -> None:
    book.say(HUMAN, book.plant(59), {"hate"})
    book.say(LLM, book.plant(20), {"hate"})
    taken = book.take()
    assert {row.split for row in taken.rows} == {None}
    assert taken.counts["splits"] == {"drawn at training": 79}
    book.say(HUMAN, book.plant(1), {"hate"})
    assert {row.split for row in book.take().rows} == {"train", "dev", "test"}


def test_nothing_is_held_back_while_dev_would_lack_an_answer_of_a_label(book: Book) -> None:
    ids = book.plant(120)
    parts = {part: [i for i in ids if kept_split(i, None, SHARE) == part] for part in ("train", "dev", "test")}
    with_label = [*parts["train"][:8], *parts["test"][:4]]
    book.say(HUMAN, with_label, {"hate"})
    book.say(HUMAN, [i for i in ids if i not in with_label and i != parts["dev"][0]], set(), {"hate"})
    assert {row.split for row in book.take().rows} == {None}
    book.say(HUMAN, parts["dev"][:1], {"hate"})
    held = book.take()
    assert {row.split for row in held.rows} == {"train", "dev", "test"}
    # once a test set is frozen, it stays: a new label that dev lacks changes nothing
    book.say(HUMAN, parts["train"][:12], {"porn"})
    book.say(HUMAN, parts["train"][12:30], set(), {"porn"})
    assert {row.split for row in book.take().rows} == {"train", "dev", "test"}


def test_a_text_that_a_data_set_judged_stays_held_out_when_people_are_asked_about_it(
    book: Book, engine: Engine
) -> None:
    given, new = book.plant(60), book.plant(60)
    book.say(CORPUS, given, {"hate"})
    before = {id_: row.split for id_, row in book.rows().items()}
    with open_session(engine) as session, session.begin():
        project = store.Project(
            url="http://ls",
            label_studio_id=1,
            label_studio_created_at=datetime.now(UTC),
            title="saring",
            harsh_cap=30,
        )
        session.add(project)
        session.flush()
        for i in (*given, *new):
            task = {"strategy": "uncertain", "reason": "", "inclusion_probability": 1, "state": TaskState.OPEN}
            session.add(store.Task(project_id=project.id, text_id=i, **task))
    book.say(HUMAN, [*given, *new], {"hate"})
    after = {id_: row.split for id_, row in book.rows().items()}
    assert {after[i] for i in new} == {"train"}
    assert {i: after[i] for i in given} == before
    assert set(before.values()) == {"train", "dev", "test"}


def test_what_people_dispute_is_left_out(book: Book) -> None:
    ids = book.plant(70)
    book.say(HUMAN, ids, {"hate"})
    other = RaterRef(RaterKind.HUMAN, "badrul")
    book.say(other, ids[:5], set(), {"hate"})
    book.say(other, ids[5:10], {"racist"}, {"hate"})
    taken = book.take()
    rows = {uuid.UUID(row.id): row for row in taken.rows}
    # asserting hate denied that they are safe for work, which nobody disputes
    assert all("hate" not in rows[id_].labels | rows[id_].not_labels for id_ in ids[:10])
    assert all("racist" in rows[id_].labels for id_ in ids[5:10])
    assert all("hate" in rows[id_].labels for id_ in ids[10:])
    assert taken.counts["contested"] == 10
    book.say(LLM, (alone := book.plant(1)), set(), {"porn"})
    book.say(RaterRef(RaterKind.LLM, "another"), alone, {"porn"})
    assert "porn" not in book.rows()[alone[0]].labels | book.rows()[alone[0]].not_labels


def test_a_text_of_which_nothing_is_known_is_no_row(book: Book) -> None:
    ids = book.plant(70)
    book.say(HUMAN, ids, set(), {"hate"})
    book.say(RaterRef(RaterKind.HUMAN, "badrul"), ids[:5], {"hate"}, {"safe for work"})
    unknown = book.plant(5)
    book.say(LLM, unknown, {"no label of the taxonomy"})
    rows = book.rows()
    assert not set(unknown) & set(rows)


def test_people_outrank_machines(book: Book) -> None:
    ids = book.plant(70)
    book.say(LLM, ids, {"hate"})
    book.say(HUMAN, ids, set(), {"hate"})
    rows = book.rows()
    assert set(rows) == set(ids)
    assert all(row.labels == set() and "hate" in row.not_labels for row in rows.values())


def test_sources_can_be_left_out_and_a_limit_keeps_what_people_judged(book: Book) -> None:
    kept, left = book.plant(70), book.plant(30, source="lain")
    book.say(HUMAN, kept + left, {"hate"})
    machines = book.plant(200)
    book.say(LLM, machines, {"hate"})
    assert set(book.rows(without=("lain",))) == {*kept, *machines}
    # the test set of the first snapshot lacks the source that was left out of it
    limited = book.rows(limit=10, increment=1)
    assert {*kept, *left} <= set(limited)
    assert set(limited) - {*kept, *left} == {*sorted([*kept, *left, *machines])[:10]} & set(machines)


def test_duplicates_and_texts_out_of_scope_are_left_out(book: Book) -> None:
    ids = book.plant(70)
    copies = book.plant(5, duplicate_of=ids[0], masked="baris nombor 0 tentang perkara 0 juga")
    foreign = book.plant(5, in_scope=False)
    book.say(HUMAN, ids + copies + foreign, {"hate"})
    assert set(book.rows()) == set(ids)
    assert set(book.rows(limit=1_000)) == set(ids)


def test_a_near_duplicate_that_people_judged_otherwise_or_that_is_negated_teaches_in_the_same_split(book: Book) -> None:
    ids = book.plant(70)
    like = "baris nombor {} tentang perkara {} {}"
    pairs = []
    for number, root in enumerate(ids[:20]):
        words = like.format(number, number * 7919, "{}")
        other = book.plant(1, duplicate_of=root, masked=words.format("juga"))
        negated = book.plant(1, duplicate_of=root, masked=words.format("tidak"))
        same = book.plant(1, duplicate_of=root, masked=words.format("pun"))
        book.say(HUMAN, [*negated, *same], {"hate"})
        book.say(HUMAN, other, {"safe for work"})
        pairs += [(root, *other), (root, *negated)]
    book.say(HUMAN, ids, {"hate"})
    rows = book.rows(increment=1)
    assert set(rows) == set(ids) | {copy for _, copy in pairs}
    assert all(rows[root].split == rows[copy].split for root, copy in pairs)
    assert {rows[root].split for root, _ in pairs} == {"train", "dev", "test"}


def test_a_near_duplicate_in_another_split_of_its_source_is_left_out(book: Book) -> None:
    ids = book.plant(70, split="test")
    copy = book.plant(1, split="train", duplicate_of=ids[0], masked="baris nombor 0 tidak tentang perkara 0")
    book.say(HUMAN, [*ids, *copy], {"hate"})
    assert set(book.rows(increment=1)) == set(ids)


def test_an_empty_ledger_is_said(book: Book) -> None:
    book.plant(5)
    with pytest.raises(NotEnoughLabels, match="no text has a decided label: run `saring import` or `saring judge`"):
        book.take()
    assert book.stored() == 0


def test_a_most_per_label_keeps_what_people_said_first_and_leaves_held_out_texts_whole(book: Book) -> None:
    people = book.plant(80)
    book.say(HUMAN, people, {"hate"}, {"porn"})
    machine = book.plant(100)
    book.say(LLM, machine, {"hate"}, {"porn"})
    pornographic = book.plant(10)
    book.say(LLM, pornographic, {"porn"})
    whole = book.rows()
    learnt = [id_ for id_ in people if whole[id_].split == "train"]
    balance = Balance(most=len(learnt) + 5, negatives=3, seed=1)
    taken = book.take(balance=balance)
    rows = {uuid.UUID(row.id): row for row in taken.rows}
    assert {id_: row for id_, row in rows.items() if row.split != "train"} == {
        id_: row for id_, row in whole.items() if row.split != "train"
    }
    train = {id_: row for id_, row in rows.items() if row.split == "train"}
    hateful = {id_ for id_, row in train.items() if "hate" in row.labels}
    assert len(hateful) == len(learnt) + 5
    assert hateful >= set(learnt)
    assert sum("porn" in row.not_labels for row in train.values()) == 30
    assert {id_ for id_ in learnt if "porn" in train[id_].not_labels} or len(learnt) < 30
    left = taken.counts["balance"]
    assert left["left_out"]["hate"] == {"yes": 95, "no": 0}
    assert left["texts_left_out"] == len(whole) - len(rows)
    assert book.take(balance=balance).hash == taken.hash
    assert book.take(balance=Balance(most=balance.most, negatives=3, seed=2)).hash != taken.hash
