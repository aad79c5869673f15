"""A pull that breaks off: the cursor is never ahead of what was stored, and the next pull brings the rest, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from saring.services import LabelStudioAccess, ensure_label_studio, loop_status
from sync.api.client import LabelStudio
from tests.support.label_studio import annotate, lines, make_project
from tests.support.proxies import Fault, FaultyProxy, Front, faulty_proxy, front
from tests.support.pulled import Given, SmallPages, World

_ROOT = Path(__file__).resolve().parents[2]
_WALK = "/api/tasks/"


@pytest.fixture
def proxy(label_studio: LabelStudioAccess) -> Iterator[FaultyProxy]:
    with faulty_proxy(label_studio.url) as made:
        yield made


@pytest.fixture
def world(
    engine: Engine,
    proxy: FaultyProxy,
    label_studio: LabelStudioAccess,
    label_studio_api: httpx.Client,
    tmp_path: Path,
) -> Iterator[World]:
    with SmallPages(proxy.url, label_studio.api_key, sleep=lambda _: None) as client:
        yield World(engine, client, label_studio_api, make_project(engine, client), tmp_path)


def annotated(world: World, count: int) -> list[Given]:
    given = world.push(lines(count))
    for one in given:
        annotate(world.api, one.task, ["hate"])
    return given


def home(world: World) -> set[uuid.UUID]:
    return {one.text_id for one in world.stands()}


def assert_the_cursor_is_not_ahead(world: World, given: Sequence[Given]) -> None:
    """Whatever changed up to the watermark is in the ledger."""
    with open_session(world.engine) as session:
        cursor = session.get(store.SyncCursor, world.project.project_id)
    listed = world.api.get("/api/tasks/", params={"project": world.project.label_studio_id, "fields": "all"}).json()
    there = {row["id"]: datetime.fromisoformat(row["updated_at"]) for row in listed["tasks"]}
    passed = {one.text_id for one in given if cursor is not None and there[one.task] <= cursor.watermark}
    assert passed <= home(world)


def assert_all_is_home_once(world: World, given: Sequence[Given]) -> None:
    assert home(world) == {one.text_id for one in given}
    assert [len(revisions) for revisions in world.revisions()] == [1] * len(given)
    assert world.reconcile().repaired == 0


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (Fault.SERVER_ERROR, 4),
        (Fault.BAD_GATEWAY_AFTER, 4),
        (Fault.HALF_BODY, 4),
        (Fault.NOT_JSON, 4),
        (Fault.NEVER_ARRIVES, 4),
        (Fault.UNAUTHORIZED, 1),
        (Fault.NOT_FOUND, 1),
    ],
)
def test_a_list_that_breaks_off_is_gone_on_with_and_nothing_is_passed_over(
    world: World, proxy: FaultyProxy, fault: Fault, times: int
) -> None:
    given = annotated(world, 5)
    before = 0
    # a page is two requests: which tasks changed, and the tasks
    for passing in (2, 1):
        proxy.fail(fault, "GET", _WALK, times=times, skip=passing)
        report = world.try_pull()
        assert list(report.failed) == [world.project.title]
        assert "\n" not in report.failed[world.project.title]
        assert_the_cursor_is_not_ahead(world, given)
        assert len(home(world)) >= before
        before = len(home(world))
    assert 0 < before < 5, "it broke off in the middle"
    world.pull()
    assert_all_is_home_once(world, given)


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.HALF_BODY, Fault.NOT_JSON, Fault.TOO_MANY])
def test_a_moment_of_trouble_is_not_noticed(world: World, proxy: FaultyProxy, fault: Fault) -> None:
    given = annotated(world, 3)
    for passing in (0, 2):
        proxy.fail(fault, "GET", _WALK, times=2, skip=passing)
    world.pull()
    assert_all_is_home_once(world, given)


def test_a_project_that_is_removed_while_it_is_read_is_no_end_of_a_list(
    world: World, proxy: FaultyProxy, label_studio: LabelStudioAccess
) -> None:
    given = annotated(world, 5)
    seen: list[int] = []

    class Removing(SmallPages):
        def changed_tasks(
            self, project: int, since: datetime | None, *, page_size: int = 2
        ) -> Iterator[list[dict[str, Any]]]:
            for page in super().changed_tasks(project, since, page_size=page_size):
                seen.append(len(page))
                if len(seen) == 1:
                    world.api.delete(f"/api/projects/{project}/").raise_for_status()
                yield page

    with Removing(proxy.url, label_studio.api_key, sleep=lambda _: None) as client:
        report = world.try_pull(client)
    assert report.failed or report.gone
    said = home(world)
    assert 0 < len(said) < len(given)
    assert world.pull().gone == [world.project.title]
    assert home(world) == said


def test_a_server_that_is_killed_in_the_middle_of_a_pull_loses_nothing(
    engine: Engine, label_studio: LabelStudioAccess, new_home: Path, tmp_path: Path
) -> None:
    assert label_studio.embedded
    settings = Settings(home=new_home)
    access = ensure_label_studio(settings)
    calls: list[int] = []

    class Killing(SmallPages):
        def changed_tasks(
            self, project: int, since: datetime | None, *, page_size: int = 2
        ) -> Iterator[list[dict[str, Any]]]:
            for page in super().changed_tasks(project, since, page_size=page_size):
                calls.append(len(page))
                if len(calls) == 2:
                    process = psutil.Process(loop_status(settings)[0].pid)
                    process.kill()
                    psutil.wait_procs([process], timeout=60)
                yield page

    headers = {"Authorization": f"Token {access.api_key}"}
    with (
        Killing(access.url, access.api_key, sleep=lambda _: None) as client,
        SmallPages(access.url, access.api_key, sleep=lambda _: None) as calm,
        httpx.Client(base_url=access.url, headers=headers, timeout=60, trust_env=False) as api,
    ):
        world = World(engine, calm, api, make_project(engine, calm), tmp_path)
        given = annotated(world, 5)
        report = world.try_pull(client)
        assert "does not answer" in report.failed[world.project.title]
        assert 0 < len(home(world)) < 5
        assert list(world.try_pull().failed) == [world.project.title], "it is still down"
        assert ensure_label_studio(settings) == access
        assert_the_cursor_is_not_ahead(world, given)
        world.pull()
        assert_all_is_home_once(world, given)


class Pulling:
    """`saring sync pull` in a process of its own."""

    def __init__(self, environment: dict[str, str], url: str, key: str) -> None:
        self._command = [sys.executable, "-m", "saring", "sync", "pull", "--json"]
        self._environment = environment | {"LABEL_STUDIO_URL": url, "LABEL_STUDIO_API_KEY": key}

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, cwd=_ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@pytest.mark.parametrize(
    ("deadly", "nth", "left"),
    [
        # the page is asked for: nothing is stored
        ("GET /api/tasks/", 1, []),
        # after the page: it is stored, and the pull is not yet at its end
        ("GET /api/projects/{}/", 2, ["the process ended without finishing"]),
    ],
)
def test_a_pull_that_is_killed_and_done_again_stores_everything_once(
    engine: Engine,
    environment: dict[str, str],
    label_studio: LabelStudioAccess,
    label_studio_api: httpx.Client,
    tmp_path: Path,
    deadly: str,
    nth: int,
    left: list[str],
) -> None:
    with (
        front(label_studio.url) as before,
        LabelStudio(before.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        world = World(engine, client, label_studio_api, make_project(engine, client), tmp_path)
        given = annotated(world, 4)
        pulling = Pulling(environment, before.url, label_studio.api_key)
        killed = kill_at(before, deadly.format(world.project.label_studio_id), nth, pulling)
        assert killed == -signal.SIGKILL
        assert_the_cursor_is_not_ahead(world, given)
        assert len(home(world)) == (4 if left else 0)

        again = pulling.start()
        out, err = again.communicate()
        assert again.returncode == 0, err
        assert '"failed":{}' in out.replace(" ", "")
        assert_all_is_home_once(world, given)
    with open_session(engine) as session:
        runs = session.scalars(select(store.Run).where(store.Run.stage == "pull").order_by(store.Run.id)).all()
    assert [run.error for run in runs if run.state is RunState.FAILED] == left
    assert runs[-1].state is RunState.DONE


def kill_at(before: Front, request: str, nth: int, pulling: Pulling) -> int:
    """Start a pull, kill it as its nth such request arrives, and say how it ended."""
    arrived, started = threading.Event(), before.count(request)

    def stop(one: str) -> None:
        if one.startswith(request) and before.count(request) == started + nth:
            arrived.set()
            ended.wait(60)

    ended = threading.Event()
    before.before = stop
    process = pulling.start()
    try:
        assert arrived.wait(120), "it never came so far"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before.before = lambda _: None
        ended.set()
    return process.returncode
