"""Tasks that were pushed while a task's data still had the store's own id of a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from saring.services import LabelStudioAccess
from tests.support.label_studio import annotate, public_id
from tests.support.pulled import Given, World, new_world


@pytest.fixture
def world(engine: Engine, label_studio: LabelStudioAccess, tmp_path: Path) -> Iterator[World]:
    with new_world(engine, label_studio, tmp_path) as made:
        yield made


def as_before(world: World, given: Given) -> dict[str, object]:
    """The data of a task as it was written before."""
    data = world.api.get(f"/api/tasks/{given.task}/").raise_for_status().json()["data"]
    assert data["text_id"] == public_id(world.engine, given.text_id) != str(given.text_id)
    return {**data, "text_id": str(given.text_id)}


def test_an_answer_to_such_a_task_is_one_to_its_text(world: World) -> None:
    [given] = world.take()
    changed = {"data": as_before(world, given)}
    world.api.patch(f"/api/tasks/{given.task}/", json=changed).raise_for_status()
    annotate(world.api, given.task, ["hate"])
    report = world.pull()
    assert [(one.text_id, one.asserted) for one in world.stands()] == [(given.text_id, ("hate",))]
    assert report.counts["task made by hand"] == report.counts["text edited by hand"] == 0


def test_a_copy_of_such_a_task_stands_for_its_text_once_the_task_is_gone(world: World) -> None:
    [given] = world.take()
    data = as_before(world, given)
    world.remove(given.task)
    world.reconcile()
    [copy] = world.by_hand(data)
    annotate(world.api, copy, ["hate"])
    world.pull()
    assert [(one.text_id, one.asserted) for one in world.stands()] == [(given.text_id, ("hate",))]


def test_it_and_a_newer_task_of_the_same_text_are_doubles(world: World) -> None:
    [given] = world.take()
    world.by_hand(as_before(world, given))
    assert world.reconcile().doubles_removed == 1
    assert world.reconcile().doubles_removed == 0
