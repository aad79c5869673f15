"""The full comparison: it finds what pulls missed, repairs it, and finds nothing the second time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline.store.tables.human_loop import AnnotationState, TaskState
from pipeline.texts.normalise import text_id
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from tests.support.commands import typed
from tests.support.label_studio import annotate, tasks_of
from tests.support.pulled import World, new_world

Json = dict[str, Any]


@pytest.fixture
def world(engine: Engine, label_studio: LabelStudioAccess, tmp_path: Path) -> Iterator[World]:
    with new_world(engine, label_studio, tmp_path) as made:
        yield made


def put_ahead(world: World, **by: float) -> None:
    """The cursor has passed what it never read."""
    to = world.cursor().watermark + timedelta(**by)
    world.move_cursor(watermark=to, looked_at=to + timedelta(hours=1))


def data_of(world: World, task: int) -> Json:
    found: Json = world.api.get(f"/api/tasks/{task}/").raise_for_status().json()["data"]
    return found


def tasks_there(world: World) -> set[int]:
    pages = world.client.task_stamps(world.project.label_studio_id)
    return {one["id"] for page in pages for one in page}


def test_what_pulls_passed_over_is_found_and_repaired_once(world: World) -> None:
    new, changed, deleted, skipped, same = world.take(5)
    made = {one.task: annotate(world.api, one.task, ["hate"]) for one in (changed, deleted, skipped, same)}
    world.pull()
    put_ahead(world, hours=1)
    annotate(world.api, new.task, ["porn"])
    region = made[changed.task]["result"][0] | {"value": {"choices": ["racist"]}}
    world.change(made[changed.task]["id"], result=[region])
    world.api.delete(f"/api/annotations/{made[deleted.task]['id']}/").raise_for_status()
    world.change(made[skipped.task]["id"], was_cancelled=True)
    assert world.pull().tasks == 0, "the pull is past it"

    report = world.reconcile()
    assert (report.tasks, report.annotations, report.repaired) == (5, 4, 4)
    assert {one.text_id: one.asserted for one in world.stands()} == {
        new.text_id: ("porn",),
        changed.text_id: ("racist",),
        same.text_id: ("hate",),
    }
    before = world.revisions()
    again = world.reconcile()
    assert (again.repaired, again.tasks_gone, dict(again.counts)) == (0, 0, {})
    assert world.revisions() == before
    assert world.cursor().reconciled_at is not None


def test_after_a_clock_that_was_put_back_pulls_see_again(world: World) -> None:
    first, second, third = world.take(3)
    annotate(world.api, first.task, ["hate"])
    world.pull()
    put_ahead(world, days=400)
    annotate(world.api, second.task, ["hate"])
    assert world.pull().tasks == 0
    assert world.reconcile().repaired == 1
    annotate(world.api, third.task, ["hate"])
    world.pull()
    assert {one.text_id for one in world.stands()} == {one.text_id for one in (first, second, third)}
    assert [len(one) for one in world.revisions()] == [1, 1, 1]


def test_an_empty_project_whose_cursor_is_ahead_is_heard_again(world: World) -> None:
    [given] = world.take()
    annotate(world.api, given.task, ["hate"])
    world.pull()
    world.remove(given.task)
    put_ahead(world, days=400)
    world.reconcile()
    [task] = world.by_hand({"text": f"ayat lain {uuid.uuid4().hex}"})
    annotate(world.api, task, ["porn"])
    world.pull()
    assert sorted(one.asserted for one in world.stands()) == [("hate",), ("porn",)]


def test_what_was_said_of_tasks_that_are_gone_stays_unless_it_is_to_be_taken_back(world: World) -> None:
    kept, gone, untouched = world.take(3)
    for one in (kept, gone):
        annotate(world.api, one.task, ["hate"])
    world.pull()
    world.remove(gone.task, untouched.task)
    report = world.reconcile()
    assert (report.tasks_gone, report.repaired) == (2, 0)
    known = tasks_of(world.engine, world.project.project_id)
    assert {known[one.text_id].state for one in (gone, untouched)} == {TaskState.GONE}
    assert len(world.stands()) == 2
    assert world.reconcile().tasks_gone == 0

    taken = world.reconcile(withdraw_deleted=True)
    assert taken.counts["deleted"] == 1
    assert [one.text_id for one in world.stands()] == [kept.text_id]
    assert world.states(gone.task) == [AnnotationState.DELETED]
    assert dict(world.reconcile(withdraw_deleted=True).counts) == {}


def test_second_copies_are_removed_if_nobody_annotated_them(world: World) -> None:
    ours, theirs, alone = world.take(3)
    copies = world.by_hand(*(data_of(world, one.task) for one in (ours, ours, theirs)))
    hers = copies[2]
    annotate(world.api, ours.task, ["hate"])
    annotate(world.api, hers, ["porn"])
    report = world.reconcile()
    assert (report.doubles_removed, report.doubles_left) == (2, 1)
    assert tasks_there(world) == {ours.task, theirs.task, alone.task, hers}
    # what was said of a copy is said of the text
    assert {one.text_id: one.asserted for one in world.stands()} == {
        ours.text_id: ("hate",),
        theirs.text_id: ("porn",),
    }
    again = world.reconcile()
    assert (again.doubles_removed, again.doubles_left, again.repaired, again.tasks_gone) == (0, 1, 0, 0)


def test_a_copy_that_somebody_only_skipped_is_left(world: World) -> None:
    [ours] = world.take()
    [copy] = world.by_hand(data_of(world, ours.task))
    annotate(world.api, copy, [], was_cancelled=True)
    assert (world.reconcile().doubles_removed, tasks_there(world)) == (0, {ours.task, copy})


def test_a_copy_that_is_annotated_while_the_list_is_read_is_left(world: World, label_studio: LabelStudioAccess) -> None:
    [ours] = world.take()
    [copy] = world.by_hand(data_of(world, ours.task))

    class Late(LabelStudio):
        def task_stamps(self, project: int, *, page_size: int = 2_000) -> Iterator[list[Json]]:
            yield from super().task_stamps(project, page_size=page_size)
            annotate(world.api, copy, ["hate"])

    with Late(label_studio.url, label_studio.api_key, sleep=lambda _: None) as client:
        assert world.reconcile(client).doubles_removed == 0
    assert copy in tasks_there(world)
    world.pull()
    assert [(one.text_id, one.asserted) for one in world.stands()] == [(ours.text_id, ("hate",))]


def test_tasks_of_a_text_that_is_not_ours_are_not_doubles(world: World) -> None:
    rows: list[Json] = [{"text": f"ayat {uuid.uuid4().hex}", "text_id": "x"} for _ in range(2)]
    tasks = world.by_hand(*rows)
    first = world.reconcile()
    assert (first.doubles_removed, first.counts["task made by hand"]) == (0, 2)
    assert tasks_there(world) == set(tasks)
    assert set(tasks_of(world.engine, world.project.project_id)) == {text_id(row["text"]) for row in rows}


def test_the_commands_say_what_they_did(
    world: World, environment: dict[str, str], label_studio: LabelStudioAccess
) -> None:
    first, second = world.take(2)
    annotate(world.api, first.task, ["hate", "tak dikenali"])
    annotate(world.api, second.task, ["hate"])

    def saring(*words: str) -> CompletedProcess[str]:
        given = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.api_key, "COLUMNS": "200"}
        return typed(environment | given, "sync", *words)

    pulled = saring("pull", "--project", str(world.project.label_studio_id))
    assert pulled.returncode == 0, pulled.stderr
    assert "Read 2 changed tasks from 1 project" in pulled.stdout
    assert "left out, labels not in the taxonomy: tak dikenali (1)" in pulled.stdout
    world.remove(second.task)
    compared = saring("reconcile", "--withdraw-deleted", "--json")
    assert compared.returncode == 0, compared.stderr
    found = json.loads(compared.stdout)
    assert (found["annotations"], found["repaired"], found["tasks_gone"], found["failed"]) == (1, 0, 1, {})
    assert found["counts"] == {"deleted": 1, "revisions": 1}
    assert [one.text_id for one in world.stands()] == [first.text_id]
    unknown = saring("pull", "--project", "987654")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no project 987654" in unknown.stderr
    assert "saring sync setup" in unknown.stderr
    assert len(unknown.stderr.strip().splitlines()) == 1
