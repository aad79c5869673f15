"""One Label Studio at several addresses: nothing is made, sent or pulled twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from tests.support.label_studio import annotate, lines, make_project, push_all, tasks_of
from tests.support.proxies import Fault, FaultyProxy, faulty_proxy
from tests.support.pulled import Given, SmallPages, World


@pytest.fixture
def old(label_studio: LabelStudioAccess) -> Iterator[FaultyProxy]:
    """The server's address at first."""
    with faulty_proxy(label_studio.url) as made:
        yield made


@pytest.fixture
def new(label_studio: LabelStudioAccess) -> Iterator[LabelStudio]:
    """The same server, on another port, by another name."""
    with faulty_proxy(label_studio.url) as made:
        address = made.url.replace("127.0.0.1", "localhost")
        with SmallPages(address, label_studio.api_key, sleep=lambda _: None) as client:
            yield client


@pytest.fixture
def world(
    engine: Engine, old: FaultyProxy, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> Iterator[World]:
    with SmallPages(old.url, label_studio.api_key, sleep=lambda _: None) as client:
        yield World(engine, client, label_studio_api, make_project(engine, client), tmp_path)


def projects(world: World) -> list[tuple[str, ProjectState]]:
    with open_session(world.engine) as session:
        return [(row.url, row.state) for row in session.scalars(select(store.Project).order_by(store.Project.id))]


def annotated(world: World, count: int) -> list[tuple[Given, int]]:
    return [(one, annotate(world.api, one.task, ["hate"])["id"]) for one in world.push(lines(count))]


def test_a_server_that_moves_in_the_middle_of_a_pull_is_pulled_once(
    world: World, old: FaultyProxy, new: LabelStudio
) -> None:
    given = annotated(world, 6)
    old.fail(Fault.NEVER_ARRIVES, "GET", "/api/tasks/", times=1_000, skip=2)
    assert world.try_pull().failed
    part = len(world.stands())
    assert 0 < part < 6

    assert world.pull(new).projects == 1
    assert sorted(one.text_id for one in world.stands()) == sorted(one.text_id for one, _ in given)
    assert [len(revisions) for revisions in world.revisions()] == [1] * 6
    assert projects(world) == [(new.url, ProjectState.OPEN)]


def test_a_deletion_that_is_seen_at_the_new_address_takes_the_answer_back(world: World, new: LabelStudio) -> None:
    [(given, annotation), _] = annotated(world, 2)
    world.pull()
    world.api.delete(f"/api/annotations/{annotation}/").raise_for_status()
    world.pull(new)
    assert given.text_id not in {one.text_id for one in world.stands()}
    assert len(world.stands()) == 1


def test_to_and_fro_between_addresses_writes_nothing_anew(world: World, new: LabelStudio) -> None:
    annotated(world, 3)
    world.pull(new)
    before = world.revisions()
    for client in (world.client, new, world.client):
        world.pull(client)
        assert world.reconcile(client).repaired == 0
    assert world.revisions() == before


def test_setup_and_push_at_the_new_address_find_the_project_and_its_tasks(world: World, new: LabelStudio) -> None:
    pushed = world.push(lines(2))
    report = make_project(world.engine, new)
    assert (report.created, report.project_id) == (False, world.project.project_id)
    push_all(world.engine, new, report.project_id)
    assert {row.label_studio_id for row in tasks_of(world.engine, report.project_id).values()} == {
        one.task for one in pushed
    }
    assert new.project(report.label_studio_id).task_number == 2
    assert [url for url, _ in projects(world)] == [new.url]


def test_a_project_of_another_server_stays_where_it_is(world: World, new: LabelStudio) -> None:
    with open_session(world.engine) as session, session.begin():
        row = session.get_one(store.Project, world.project.project_id)
        other = store.Project(
            url="http://label-studio.example",
            label_studio_id=row.label_studio_id,
            label_studio_created_at=row.label_studio_created_at.replace(year=2001),
            title="Another",
            opt_out=[],
            harsh_cap=50,
        )
        session.add(other)
    world.pull(new)
    assert projects(world) == [(new.url, ProjectState.OPEN), ("http://label-studio.example", ProjectState.OPEN)]
