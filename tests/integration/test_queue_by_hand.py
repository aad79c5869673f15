"""The queue changed by hand: texts put in, moved, dropped with a reason, and a chosen few pushed."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select, update

from pipeline import store
from pipeline.errors import QueueError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.stream_rows import stream_rows
from pipeline.queue import sent, waiting
from pipeline.queue.pick import Picked, pick
from pipeline.store import open_session
from pipeline.store.tables.human_loop import PICKED, QueueState, TaskState
from pipeline.taxonomy import Taxonomy, load_taxonomy
from sync.push.claim import claim
from tests.support.commands import typed
from tests.support.queue import AISYAH, LLM, Shelf, champion

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def shelf(engine: Engine, taxonomy: Taxonomy) -> Shelf:
    return Shelf(engine, taxonomy)


@pytest.fixture
def queued(shelf: Shelf) -> list[uuid.UUID]:
    """Ten queued texts, in serving order."""
    shelf.plant(10)
    shelf.build(size=10, mix={"random": 1.0})
    return shelf.ids()


def put(shelf: Shelf, ids: list[uuid.UUID], **how: object) -> Picked:
    with open_session(shelf.engine) as session, session.begin():
        chosen = {"why": "like another", "model": None} | how
        return pick(session, shelf.taxonomy, ids, **chosen)  # type: ignore[arg-type]


def change(shelf: Shelf, what: str, *given: object, **named: object) -> None:
    with open_session(shelf.engine) as session, session.begin():
        getattr(waiting, what)(session, *given, **named)


def test_a_text_is_moved_to_any_place_and_the_others_keep_their_order(shelf: Shelf, queued: list[uuid.UUID]) -> None:
    expected = list(queued)
    for text_id, place in ((queued[9], 1), (queued[0], 5), (queued[3], 99), (queued[3], 2), (queued[5], 10)):
        change(shelf, "move_to", text_id, place)
        expected.remove(text_id)
        expected.insert(place - 1, text_id)
        assert shelf.ids() == expected
    change(shelf, "move", queued[1], before=queued[9])
    expected.remove(queued[1])
    expected.insert(expected.index(queued[9]), queued[1])
    assert shelf.ids() == expected
    with open_session(shelf.engine) as session:
        assert [waiting.place_of(session, text_id) for text_id in expected] == list(range(1, 11))
    with pytest.raises(QueueError, match="is not waiting"):
        change(shelf, "move", queued[1], before=uuid.UUID(int=1))


def test_texts_may_be_moved_to_one_place_again_and_again(shelf: Shelf, queued: list[uuid.UUID]) -> None:
    """Between two priorities there are not endlessly many numbers."""
    expected = list(queued)
    for i in range(60):
        text_id = queued[i % 10]
        change(shelf, "bump", text_id, first=i % 2 == 0)
        expected.remove(text_id)
        expected.insert(0 if i % 2 == 0 else 9, text_id)
    assert shelf.ids() == expected
    assert all(0 <= item.priority <= 1 for item in shelf.items())


def test_texts_are_dropped_together_with_the_reason_or_not_at_all(shelf: Shelf, queued: list[uuid.UUID]) -> None:
    with pytest.raises(QueueError, match="is not waiting"):
        change(shelf, "drop", [queued[0], uuid.UUID(int=1)], "advertisement")
    assert shelf.ids() == queued
    change(shelf, "drop", queued[:2], "advertisement")
    assert shelf.ids() == queued[2:]
    with open_session(shelf.engine) as session:
        q = store.QueueItem
        rows = session.execute(select(q.state, q.refused_why).where(q.text_id.in_(queued[:2]))).all()
    assert rows == [(QueueState.REFUSED, "advertisement")] * 2


def test_texts_put_in_by_hand_have_no_probability_and_wait_first_or_last(shelf: Shelf, queued: list[uuid.UUID]) -> None:
    more = shelf.plant(4)
    shelf.say(LLM, more[:1], {"hate"})
    assert put(shelf, more[:2]) == Picked(2)
    assert put(shelf, more[2:], first=True, label="hate") == Picked(2)
    assert shelf.ids() == [*more[2:], *queued, *more[:2]]
    items = {item.text_id: item for item in shelf.items()}
    for text_id in more:
        assert (items[text_id].inclusion_probability, items[text_id].strategy) == (None, PICKED)
    assert (items[more[0]].harsh, items[more[0]].expected) == (True, ["hate"])
    assert not items[more[1]].harsh
    assert items[more[2]].label == "hate"


def test_what_the_champion_finds_harsh_is_harsh_when_it_is_put_in(shelf: Shelf) -> None:
    mild, harsh = shelf.plant(2, p=[0.1, 0.9])
    put(shelf, [mild, harsh], model=champion(shelf.taxonomy))
    assert {item.text_id: item.harsh for item in shelf.items()} == {mild: False, harsh: True}


def test_a_text_that_people_have_or_had_is_not_put_in(shelf: Shelf, queued: list[uuid.UUID]) -> None:
    judged, in_project, refused, copy, removed, free = shelf.plant(6)
    shelf.say(AISYAH, [judged], {"hate"})
    shelf.push(shelf.project(), [in_project])
    put(shelf, [refused])
    change(shelf, "drop", refused, None)
    with open_session(shelf.engine) as session, session.begin():
        t = store.Text
        session.execute(update(t).where(t.id == copy).values(duplicate_of=free))
        session.execute(update(t).where(t.id == removed).values(in_scope=False))
    nobody = uuid.UUID(int=1)
    picked = put(shelf, [judged, in_project, refused, copy, removed, free, free, queued[0], nobody])
    assert picked.added == 1
    assert picked.left_out == {
        "a person has judged it": 1,
        "it is in Label Studio": 1,
        "a reviewer removed it from the queue": 1,
        "it nearly repeats another text": 1,
        "no source has it any more": 1,
        "it is queued already": 1,
        "there is no such text": 1,
    }
    with pytest.raises(QueueError, match="give a reason"):
        put(shelf, [free], why="")


def test_a_build_leaves_in_what_was_put_in_and_knows_the_probability_of_what_it_draws(shelf: Shelf) -> None:
    ids = shelf.plant(20)
    put(shelf, ids[:5])
    report = shelf.build(size=10, mix={"random": 1.0})
    items = {item.text_id: item for item in shelf.items()}
    assert set(ids[:5]) <= set(items)
    drawn = [item for item in items.values() if item.strategy == "random"]
    assert len(drawn) == report.drawn == 10
    assert all(item.inclusion_probability == pytest.approx(0.5) for item in drawn)
    hand = [item for item in items.values() if item.strategy == PICKED]
    assert all(item.inclusion_probability is None for item in hand)
    assert len(hand) == 5 - report.replaced


def test_no_estimate_uses_a_text_that_a_person_chose(shelf: Shelf) -> None:
    drawn = shelf.plant(6)
    shelf.build(size=6, mix={"random": 1.0})
    put(shelf, more := shelf.plant(3))
    project = shelf.project()
    with open_session(shelf.engine) as session, session.begin():
        claim(session, session.get_one(store.Project, project), None, _NOW)
    shelf.say(AISYAH, [*drawn, *more], {"safe for work"})
    with open_session(shelf.engine) as session:
        rows = stream_rows(session, shelf.taxonomy, "none")
    assert {row.id for row in rows.rows} == {str(text_id) for text_id in drawn}
    assert list(rows.inclusion) == [1.0] * 6
    assert rows.drawn == 6


def test_a_chosen_few_are_pushed_and_the_others_go_on_waiting(shelf: Shelf, queued: list[uuid.UUID]) -> None:
    project, other = shelf.project(1), shelf.project(2)
    only = {queued[1], queued[4], uuid.UUID(int=1)}
    for _ in range(2):
        with open_session(shelf.engine) as session, session.begin():
            claim(session, session.get_one(store.Project, project), None, _NOW, only)
    with open_session(shelf.engine) as session, session.begin():
        claim(session, session.get_one(store.Project, other), None, _NOW, only)
    with open_session(shelf.engine) as session:
        tasks = session.execute(select(store.Task.text_id, store.Task.project_id)).all()
    assert sorted(tasks) == sorted((text_id, project) for text_id in (queued[1], queued[4]))
    assert shelf.ids() == [text_id for text_id in queued if text_id not in only]


def test_a_text_of_unknown_probability_is_pushed_as_such(shelf: Shelf) -> None:
    [one] = shelf.plant(1)
    put(shelf, [one])
    project = shelf.project()
    with open_session(shelf.engine) as session, session.begin():
        claim(session, session.get_one(store.Project, project), None, _NOW)
    with open_session(shelf.engine) as session:
        task = session.scalars(select(store.Task)).one()
    assert (task.text_id, task.inclusion_probability, task.strategy) == (one, None, PICKED)


def test_the_queue_can_be_read_by_language_and_from_any_place(shelf: Shelf, queued: list[uuid.UUID]) -> None:
    with open_session(shelf.engine) as session, session.begin():
        session.execute(update(store.Text).where(store.Text.id.in_(queued[:3])).values(language="en"))
    with open_session(shelf.engine) as session:
        english = waiting.queued(session, language="en")
        assert [item.text_id for item in english] == queued[:3]
        assert waiting.waiting(session, language="en", strategy="random") == 3
        assert [item.text_id for item in waiting.queued(session, 2, offset=4)] == queued[4:6]


def test_what_is_in_label_studio_has_a_state_and_an_age(shelf: Shelf) -> None:
    ids = shelf.plant(4)
    project = shelf.project()
    shelf.push(project, ids)
    with open_session(shelf.engine) as session, session.begin():
        k = store.Task
        session.execute(update(k).where(k.text_id == ids[0]).values(state=TaskState.DONE))
        session.execute(update(k).where(k.text_id == ids[1]).values(harsh=True, pushed_at=_NOW))
    with open_session(shelf.engine) as session:
        [found] = sent.projects(session)
        waiting_texts = sent.sent_texts(session)
        done = sent.sent_texts(session, states=(TaskState.DONE,), project=project)
    assert found.tasks == {TaskState.OPEN: 3, TaskState.DONE: 1}
    assert (found.harsh_open, found.harsh_cap, found.oldest, found.pulled_at) == (1, 30, _NOW, None)
    assert waiting_texts[0].text_id == ids[1], "the oldest comes first"
    assert {task.text_id for task in waiting_texts} == set(ids[1:])
    assert [task.text_id for task in done] == ids[:1]


def test_the_queue_by_hand_as_it_is_typed(shelf: Shelf, queued: list[uuid.UUID], environment: dict[str, str]) -> None:
    def run(*words: str, status: int = 0) -> str:
        done = typed(environment | {"COLUMNS": "220"}, "queue", *words)
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    [more] = shelf.plant(1)
    shelf.say(RaterRef(RaterKind.LLM, "a-model", "1"), [more], {"hate"})
    added = run("add", str(more), str(queued[0]), "--why", "like the first", "--first")
    assert "Put 1 text into the queue, with unknown probability." in added
    assert "1 text left out: it is queued already" in added
    shown = run("show", "--reveal")
    assert "unknown" in shown
    assert "like the first" in shown
    assert json.loads(run("show", "--json"))["items"][0]["inclusion_probability"] is None
    run("move", str(queued[8]), "--place", "2")
    run("move", str(more), "--before", str(queued[0]))
    assert shelf.ids()[:3] == [queued[8], more, queued[0]]
    run("drop", str(more), "--why", "an advertisement")
    assert "say before which text it goes, or to which place" in run("move", str(queued[0]), status=2)
    assert json.loads(run("show", "--language", "ta", "--json"))["items"] == []
