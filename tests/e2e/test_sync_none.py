"""Texts that no label fits: what volunteers and programs answer, and what the ledger gets of it, exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline import store
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState
from saring.services import LabelStudioAccess
from sync.project.shown import last_shown
from tests.support.label_studio import annotate, make_project
from tests.support.pulled import Given, World, denied_by, new_world

Json = dict[str, Any]
NONE: Json = {
    "id": "none",
    "from_name": "undecided",
    "to_name": "text",
    "type": "choices",
    "value": {"choices": ["none of these"]},
}


@pytest.fixture(scope="module")
def world(
    module_engine: Engine, label_studio: LabelStudioAccess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with new_world(module_engine, label_studio, tmp_path_factory.mktemp("world")) as made:
        yield made


def answer(world: World, given: Given, *regions: Json) -> Json:
    return annotate(world.api, given.task, (), result=list(regions))


def replay(world: World) -> None:
    """Read everything again, as after a lost cursor, and compare everything."""
    world.move_cursor(watermark=world.cursor().watermark.replace(year=2020), looked_at=None)
    again = world.pull()
    assert (again.counts["judgements"], again.counts["revisions"]) == (0, 0)
    assert world.reconcile().repaired == 0


def test_none_of_these_denies_every_label_that_was_shown_once(world: World) -> None:
    [given] = world.take()
    answer(world, given, NONE)
    assert world.pull().counts["judgements"] == 1
    [verdict] = world.said(given.text_id)
    assert (verdict.asserted, verdict.denied) == ((), denied_by())
    replay(world)
    assert world.revisions(given.text_id) == [[verdict]]


def test_a_correction_to_none_of_these_takes_the_label_back(world: World) -> None:
    [given] = world.take()
    made = annotate(world.api, given.task, ["hate"])
    world.pull()
    world.change(made["id"], result=[NONE])
    assert world.pull().counts["revisions"] == 1
    [revisions] = world.revisions(given.text_id)
    assert [(one.asserted, one.denied) for one in revisions] == [(("hate",), denied_by("hate")), ((), denied_by())]
    replay(world)


def test_an_empty_answer_over_the_api_means_what_the_project_says_when_it_is_given(world: World) -> None:
    before, after, later = world.take(3)
    answer(world, before)
    report = world.pull()
    assert report.counts["answers without a label, which count for nothing here"] == 1
    assert world.said(before.text_id) == []

    changed = make_project(world.engine, world.client, title=None, empty_is_none=True)
    assert changed.empty_is_none
    # the server's clock is known to the second
    while (made := answer(world, after))["created_at"] <= _in_force(world):
        world.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    world.pull()
    [verdict] = world.said(after.text_id)
    assert (verdict.asserted, verdict.denied) == ((), denied_by())
    replay(world)
    # what was said before is not read anew
    assert world.said(before.text_id) == []
    assert world.states(before.task) == [AnnotationState.EMPTY]

    make_project(world.engine, world.client, title=None, empty_is_none=False)
    world.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    while (made := answer(world, later))["created_at"] <= _in_force(world):
        world.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    world.pull()
    assert world.said(later.text_id) == []


def test_setup_adds_the_answer_to_a_project_and_no_answer_is_lost(world: World) -> None:
    [given] = world.take()
    annotate(world.api, given.task, ["porn"])
    world.pull()
    said = world.said(given.text_id)
    number = world.project.label_studio_id
    # a page as it was before there was such an answer
    path = f"/api/projects/{number}/"
    config = str(world.api.get(path).raise_for_status().json()["label_config"])
    line = next(line for line in config.splitlines() if 'value="none of these"' in line)
    world.api.patch(path, json={"label_config": config.replace(f"{line}\n", "")}).raise_for_status()
    changed = make_project(world.engine, world.client, title=None, force=True)
    assert changed.changed == ("labels: wording or looks",)
    assert world.api.get(path).json()["label_config"] == config
    world.pull()
    assert world.said(given.text_id) == said


def _in_force(world: World) -> str:
    """The moment from which the last noted settings count, as Label Studio writes moments."""
    with open_session(world.engine) as session:
        last = last_shown(session, session.get_one(store.Project, world.project.project_id))
        assert last is not None
        return last.since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
