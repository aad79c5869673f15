"""Tasks and projects that change under a pull: removed, made by hand, edited, given the number of another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState, ProjectState, TaskState
from pipeline.texts.normalise import text_id
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from tests.support.label_studio import annotate, lines, make_project, public_id, push_all, queue, tasks_of
from tests.support.proxies import Fault, faulty_proxy
from tests.support.pulled import World, denied_by, new_world
from tests.support.taxonomy import taxonomy_named


@pytest.fixture
def world(engine: Engine, label_studio: LabelStudioAccess, tmp_path: Path) -> Iterator[World]:
    with new_world(engine, label_studio, tmp_path) as made:
        yield made


def stored(engine: Engine, text: str) -> store.Text | None:
    with open_session(engine) as session:
        return session.get(store.Text, text_id(text))


def said_of(world: World, text: str) -> list[tuple[str, ...]]:
    return [one.asserted for one in world.stands(text_id(text))]


def state_of(world: World, text: uuid.UUID) -> TaskState:
    return tasks_of(world.engine, world.project.project_id)[text].state


def new_text(what: str) -> str:
    return f"ayat {what} yang ditulis sendiri {uuid.uuid4().hex[:8]}"


def test_what_was_said_of_a_task_stays_when_it_is_removed(world: World) -> None:
    first, second = world.take(2)
    annotate(world.api, first.task, ["hate"])
    world.pull()
    world.remove(first.task)
    annotate(world.api, second.task, ["porn"])
    world.pull()
    assert [one.asserted for one in world.stands(first.text_id)] == [("hate",)]


def test_a_removed_task_whose_number_is_given_to_a_pushed_one_keeps_its_judgement(world: World) -> None:
    *_, last = world.take(3)
    annotate(world.api, last.task, ["hate"])
    world.pull()
    world.remove(last.task)
    [heir] = world.push(lines(1))
    assert heir.task == last.task, "Label Studio gives the number again"
    assert state_of(world, last.text_id) is TaskState.GONE
    annotate(world.api, heir.task, ["porn"])
    world.pull()
    assert [one.asserted for one in world.stands(last.text_id)] == [("hate",)]
    assert [one.asserted for one in world.stands(heir.text_id)] == [("porn",)]
    assert len(world.said()) == 2


def test_a_removed_task_whose_number_is_given_to_one_made_by_hand_keeps_its_judgement(world: World) -> None:
    *_, last = world.take(3)
    annotate(world.api, last.task, ["hate"])
    world.pull()
    world.remove(last.task)
    text = new_text("baru")
    assert world.by_hand({"text": text}) == [last.task]
    annotate(world.api, last.task, ["porn"])
    world.pull()
    assert [one.asserted for one in world.stands(last.text_id)] == [("hate",)]
    assert said_of(world, text) == [("porn",)]
    assert state_of(world, last.text_id) is TaskState.GONE
    # and again, by one made by hand after one made by hand
    world.remove(last.task)
    later = new_text("lagi")
    assert world.by_hand({"text": later}) == [last.task]
    world.pull()
    assert (said_of(world, text), said_of(world, later)) == ([("porn",)], [])
    assert state_of(world, text_id(text)) is TaskState.GONE
    assert state_of(world, text_id(later)) is TaskState.OPEN


def test_a_task_made_by_hand_is_read_in_masked_and_judged(world: World) -> None:
    text = f"{new_text('tangan')} hubungi 012-345 6789"
    [task] = world.by_hand({"text": text})
    annotate(world.api, task, ["hate"])
    report = world.pull()
    assert report.counts["task made by hand"] == 1
    found = stored(world.engine, text)
    assert found is not None
    assert "<phone>" in found.masked
    assert said_of(world, text) == [("hate",)]
    assert state_of(world, found.id) is TaskState.DONE
    # two of the same text are one text
    [twin] = world.by_hand({"text": text})
    annotate(world.api, twin, ["porn"])
    world.pull()
    assert sorted(said_of(world, text)) == [("hate",), ("porn",)]


def test_tasks_of_ours_that_are_imported_again_stand_for_the_same_text(world: World) -> None:
    [given] = world.push(lines(1))
    data = world.api.get(f"/api/tasks/{given.task}/").json()["data"]
    world.by_hand({"text": new_text("lain")})  # so that the number is not given again
    world.remove(given.task)
    world.reconcile()
    assert state_of(world, given.text_id) is TaskState.GONE
    [copy] = world.by_hand(data)
    annotate(world.api, copy, ["hate"])
    world.pull()
    assert [one.asserted for one in world.stands(given.text_id)] == [("hate",)]
    known = tasks_of(world.engine, world.project.project_id)[given.text_id]
    assert (known.label_studio_id, known.state) == (copy, TaskState.DONE)
    again = world.reconcile()
    assert (again.repaired, again.tasks_gone) == (0, 0)


def test_a_text_that_was_edited_by_hand_is_the_one_that_is_judged(world: World) -> None:
    [given] = world.take()
    one, other = new_text("satu"), new_text("dua ")
    assert len(one) == len(other)
    data = world.api.get(f"/api/tasks/{given.task}/").json()["data"]
    for text, label in ((one, "hate"), (other, "porn")):
        world.api.patch(f"/api/tasks/{given.task}/", json={"data": data | {"text": text}}).raise_for_status()
        annotate(world.api, given.task, [label])
        assert world.pull().counts["text edited by hand"] == 1
        assert (label,) in said_of(world, text)
    assert stored(world.engine, one) is not None
    assert state_of(world, given.text_id) in (TaskState.OPEN, TaskState.DONE)
    # each annotation stands once, on the text that the task showed when it was given
    assert said_of(world, other) == [("porn",)]
    assert said_of(world, one) == [("hate",)]
    # back to what it was
    world.api.patch(f"/api/tasks/{given.task}/", json={"data": data}).raise_for_status()
    world.pull()
    assert world.stands(given.text_id) == []
    assert (said_of(world, one), said_of(world, other)) == ([("hate",)], [("porn",)])


@pytest.mark.parametrize(
    ("text", "reason"), [("", "empty"), (" \n", "empty"), (5, "text"), ("kata " * 200_000, "long")]
)
def test_a_task_without_a_usable_text_is_counted_and_holds_up_nobody(world: World, text: object, reason: str) -> None:
    [given] = world.take()
    [bad] = world.by_hand({"text": text})
    for task in (bad, given.task):
        annotate(world.api, task, ["hate"])
    report = world.pull()
    [named] = [name for name in report.counts if name.startswith("task with ")]
    assert reason in named
    assert report.counts[named] == 1
    assert [one.text_id for one in world.stands()] == [given.text_id]
    assert world.reconcile().repaired == 0


def test_a_long_text_comes_home_whole(world: World) -> None:
    text = (new_text("panjang ") + " kata" * 5_000)[:19_990].strip()
    [task] = world.by_hand({"text": text})
    annotate(world.api, task, ["hate"])
    world.pull()
    assert said_of(world, text) == [("hate",)]


def test_a_project_that_was_removed_is_noted_and_what_was_said_stays(world: World) -> None:
    [given] = world.take()
    annotate(world.api, given.task, ["hate"])
    world.pull()
    world.api.delete(f"/api/projects/{world.project.label_studio_id}/").raise_for_status()
    report = world.pull()
    assert report.gone == [world.project.title]
    assert [one.asserted for one in world.stands(given.text_id)] == [("hate",)]
    assert world.pull().projects == 0


def test_a_project_that_got_the_number_of_a_removed_one_is_never_read(world: World) -> None:
    [given] = world.take()
    annotate(world.api, given.task, ["hate"])
    world.pull()
    config = world.api.get(f"/api/projects/{world.project.label_studio_id}/").json()["label_config"]
    world.api.delete(f"/api/projects/{world.project.label_studio_id}/").raise_for_status()
    other = world.api.post("/api/projects/", json={"title": "another", "label_config": config}).json()
    # Label Studio gives numbers again when it likes to: here, surely
    world.project = replace(world.project, label_studio_id=other["id"])
    with open_session(world.engine) as session, session.begin():
        session.get_one(store.Project, world.project.project_id).label_studio_id = other["id"]
    [task] = world.by_hand({"text": new_text("orang lain")})
    annotate(world.api, task, ["porn"])
    assert world.pull().gone == [world.project.title]
    assert [one.asserted for one in world.said()] == [("hate",)]
    # a new one of ours does not mix with the old one's tasks, whatever their numbers are
    make_project(world.engine, world.client, title="Next")
    assert world.pull().projects == 1
    assert [one.asserted for one in world.said()] == [("hate",)]


def test_a_404_of_something_in_between_does_not_end_a_project(world: World, label_studio: LabelStudioAccess) -> None:
    [given] = world.take()
    annotate(world.api, given.task, ["hate"])
    with faulty_proxy(label_studio.url) as proxy:
        client = moved(world, proxy.url, label_studio)
        proxy.fail(Fault.NOT_FOUND, "GET", "/api/projects/", times=2)
        report = world.try_pull(client)
        assert (report.gone, list(report.failed)) == ([], [world.project.title])
        proxy.fail(Fault.NOT_FOUND, "GET", f"/api/projects/{world.project.label_studio_id}/", times=2)
        assert world.pull(client).gone == []
        client.close()
    assert [one.asserted for one in world.stands(given.text_id)] == [("hate",)]


def test_only_labels_that_were_on_the_page_are_denied(
    engine: Engine, label_studio: LabelStudioAccess, tmp_path: Path
) -> None:
    narrow = taxonomy_named("hate", "porn")
    wide = taxonomy_named("hate", "porn", "racist")
    with new_world(engine, label_studio, tmp_path, taxonomy=narrow) as world:
        one, other = (new_text("sempit") for _ in range(2))
        before, after = world.by_hand({"text": one}, {"text": other})
        annotate(world.api, before, ["hate"])
        make_project(engine, world.client, taxonomy=wide, title=None)
        # the server's clock is known to the second, so what comes within one of the change is not held against anybody
        made = annotate(world.api, after, ["hate"])
        settled = datetime.fromisoformat(made["updated_at"]) + timedelta(seconds=2)
        while datetime.fromisoformat(made["updated_at"]) < settled:
            made = world.change(made["id"], lead_time=1.0)
        world.pull(taxonomy=wide)
        [first], [second] = world.stands(text_id(one)), world.stands(text_id(other))
        assert (first.asserted, first.denied) == (("hate",), ("porn",))
        assert (second.asserted, second.denied) == (("hate",), ("porn", "racist"))
        assert world.pull(taxonomy=taxonomy_named("hate", "porn", "racist", "sexist")).counts["revisions"] == 0


def test_more_tasks_of_one_moment_than_a_page_holds_all_come_home(world: World) -> None:
    given = world.push(lines(12))
    chosen = {"all": False, "included": [one.task for one in given]}
    world.api.post(
        "/api/dm/actions",
        params={"id": "predictions_to_annotations", "project": world.project.label_studio_id},
        json={"selectedItems": chosen},
    ).raise_for_status()
    pages = list(world.client.changed_tasks(world.project.label_studio_id, None, page_size=5))
    moments = {task["updated_at"] for page in pages for task in page}
    assert len(moments) == 1, "a bulk action changes all at once"
    walked = [task["id"] for page in pages for task in page]
    assert sorted(walked) == sorted(one.task for one in given)
    stamped = [t["id"] for page in world.client.task_stamps(world.project.label_studio_id, page_size=5) for t in page]
    assert sorted(stamped) == sorted(walked)
    world.pull()
    assert {one.text_id for one in world.stands()} == {one.text_id for one in given}
    assert all(one.denied == denied_by("hate") for one in world.stands())


def test_hundreds_of_changed_tasks_come_home_in_portions_with_their_predictions(world: World) -> None:
    given = world.push(lines(255))
    everything = {"selectedItems": {"all": True, "excluded": [given[0].task]}}
    world.api.post(
        "/api/dm/actions",
        params={"id": "predictions_to_annotations", "project": world.project.label_studio_id},
        json=everything,
    ).raise_for_status()
    skipped = annotate(world.api, given[0].task, ["hate"], was_cancelled=True)
    report = world.pull()
    assert (report.tasks, report.counts["judgements"]) == (255, 254)
    assert {one.text_id for one in world.stands()} == {one.text_id for one in given[1:]}
    a = store.Annotation
    with open_session(world.engine) as session:
        noted = session.scalars(select(a)).all()
        version = session.get_one(store.Project, world.project.project_id).model_version
    assert {one.prediction_version for one in noted if one.label_studio_id != skipped["id"]} == {version}
    assert [one.label_studio_id for one in noted if one.state is AnnotationState.SKIPPED] == [skipped["id"]]
    assert world.reconcile().repaired == 0


def test_tasks_that_a_push_left_in_the_air_are_met_by_a_pull_and_not_sent_again(
    world: World, label_studio: LabelStudioAccess, tmp_path: Path
) -> None:
    ids = queue(world.engine, lines(2), tmp_path)
    with faulty_proxy(label_studio.url) as proxy:
        client = moved(world, proxy.url, label_studio)
        proxy.fail(Fault.LOST_ANSWER, "POST", "/import")
        proxy.fail(Fault.SERVER_ERROR, "GET", "/api/tasks/", times=100)
        with pytest.raises(Exception, match="500"):
            push_all(world.engine, client, world.project.project_id)
        client.close()
    moved(world, label_studio.url, label_studio).close()
    there = [task for page in world.client.changed_tasks(world.project.label_studio_id, None) for task in page]
    by_text = {one["data"]["text_id"]: one["id"] for one in there}
    assert set(by_text) == {public_id(world.engine, one) for one in ids}
    annotate(world.api, by_text[public_id(world.engine, ids[0])], ["hate"])
    world.pull()
    assert [one.text_id for one in world.stands()] == [ids[0]]
    push_all(world.engine, world.client, world.project.project_id)
    known = tasks_of(world.engine, world.project.project_id)
    assert {public_id(world.engine, one): known[one].label_studio_id for one in ids} == by_text
    assert world.api.get(f"/api/projects/{world.project.label_studio_id}/").json()["task_number"] == 2
    world.pull()
    assert [one.text_id for one in world.stands()] == [ids[0]]


def test_one_project_that_cannot_be_read_does_not_keep_the_others(
    world: World, label_studio: LabelStudioAccess
) -> None:
    [mine] = world.take()
    annotate(world.api, mine.task, ["hate"])
    second = make_project(world.engine, world.client, volunteer="77", title="Second")
    text = new_text("kedua")
    path = f"/api/projects/{second.label_studio_id}/import"
    [task] = world.api.post(path, params={"return_task_ids": "true"}, json=[{"text": text}]).json()["task_ids"]
    annotate(world.api, task, ["porn"])
    with faulty_proxy(label_studio.url) as proxy:
        client = moved(world, proxy.url, label_studio)
        broken = f"/api/projects/{world.project.label_studio_id}/"
        proxy.fail(Fault.SERVER_ERROR, "GET", broken, times=4)
        report = world.try_pull(client)
        assert list(report.failed) == [world.project.title]
        assert "500" in report.failed[world.project.title]
        assert [one.asserted for one in world.stands()] == [("porn",)]
        assert world.pull(client).projects == 2
        client.close()
    assert sorted(one.asserted for one in world.stands()) == [("hate",), ("porn",)]
    # each run counts what was its own
    with open_session(world.engine) as session:
        runs = session.scalars(select(store.Run).where(store.Run.stage == "pull").order_by(store.Run.id)).all()
    assert {(one.slice, one.counts.get("new submitted", 0)) for one in runs} >= {
        (str(world.project.project_id), 1),
        (str(second.project_id), 1),
    }
    assert all(one.counts.get("new submitted", 0) <= 1 for one in runs)


def test_a_project_of_another_server_is_left_alone(world: World) -> None:
    [given] = world.take()
    annotate(world.api, given.task, ["hate"])
    with open_session(world.engine) as session, session.begin():
        project = session.get_one(store.Project, world.project.project_id)
        project.url = "http://labels.example"
        # another one, that has the same number there
        project.label_studio_created_at -= timedelta(days=1)
    assert world.pull().projects == 0
    assert world.said() == []
    with open_session(world.engine) as session:
        assert session.get_one(store.Project, world.project.project_id).state is ProjectState.OPEN


def moved(world: World, url: str, access: LabelStudioAccess) -> LabelStudio:
    """A client of the same server at another address, to which its projects are moved."""
    with open_session(world.engine) as session, session.begin():
        for project in session.scalars(select(store.Project)):
            project.url = url
    return LabelStudio(url, access.api_key, sleep=lambda _: None)
