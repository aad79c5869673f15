"""A push whose process, or whose Label Studio, is killed in the middle: the next one ends with each text there once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.errors import LabelStudioError
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.human_loop import TaskState
from saring.services import LabelStudioAccess, ensure_label_studio, loop_status
from sync.api.client import LabelStudio
from tests.support.label_studio import Json, lines, make_project, push_all, queue, tasks_of
from tests.support.pushed import assert_each_once

_ROOT = Path(__file__).resolve().parents[2]
#: a push that kills itself when it has come to the named point
_PUSH = """
import os, signal, sys
from pipeline.preannotation import default_policy
from pipeline.store import make_engine
from pipeline.taxonomy import load_taxonomy
from sync.api.client import LabelStudio
from sync.push.push import push

point, url, key, project = sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(LabelStudio):
    def import_tasks(self, *arguments):
        if point == "claimed":
            die()
        made = super().import_tasks(*arguments)
        if point == "sent":
            die()
        return made

    def update_project(self, *arguments, **fields):
        if point == "noted":
            die()
        return super().update_project(*arguments, **fields)

engine = make_engine(os.environ["SARING_DATABASE_URL"])
with Dying(url, key) as client:
    push(engine, client, int(project), taxonomy=load_taxonomy(), model=None, policy=default_policy())
"""
#: enough for the server to be at work on them for a while
_MANY = 200


@pytest.mark.parametrize(
    ("point", "state", "adopted"),
    [("claimed", TaskState.PUSHING, 0), ("sent", TaskState.PUSHING, 3), ("noted", TaskState.OPEN, 0)],
)
def test_a_push_that_was_killed_is_finished_by_the_next(
    engine: Engine,
    environment: dict[str, str],
    label_studio: LabelStudioAccess,
    label_studio_api: httpx.Client,
    tmp_path: Path,
    point: str,
    state: TaskState,
    adopted: int,
) -> None:
    texts = queue(engine, lines(3), tmp_path)
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        made = make_project(engine, client)
        words = [point, label_studio.url, label_studio.api_key, str(made.project_id)]
        died = subprocess.run(
            [sys.executable, "-c", _PUSH, *words], cwd=_ROOT, env=environment, capture_output=True, text=True
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert {task.state for task in tasks_of(engine, made.project_id).values()} == {state}

        report = push_all(engine, client, made.project_id)
        assert report.adopted == adopted
        assert report.sent == (0 if point == "noted" else 3)
    assert_each_once(engine, label_studio_api, made.project_id, made.label_studio_id, texts)
    task = label_studio_api.get(f"/api/projects/{made.label_studio_id}/next").raise_for_status().json()
    assert [one["value"]["choices"] for one in task["predictions"][0]["result"]] == [["hate"]]
    with open_session(engine) as session:
        runs = session.scalars(select(store.Run).where(store.Run.stage == "push").order_by(store.Run.id)).all()
        version = session.get_one(store.Project, made.project_id).model_version
    assert [run.state for run in runs] == [RunState.FAILED, RunState.DONE]
    assert task["predictions"][0]["model_version"] == version


class _Killed(LabelStudio):
    """Its server is killed as soon as it is at work on the tasks, at the latest before what comes next."""

    pid = 0

    def import_tasks(self, project: int, tasks: Sequence[Json]) -> list[int]:
        server = psutil.Process(self.pid)
        begun = sum(server.cpu_times()[:2])
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.002) and sum(server.cpu_times()[:2]) < begun + 0.05:
                pass
            server.kill()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            return super().import_tasks(project, tasks)
        finally:
            # in case it was faster than we
            done.set()
            watcher.join()


def test_a_label_studio_that_was_killed_in_the_middle_has_each_text_once_after_the_next_push(
    engine: Engine, label_studio: LabelStudioAccess, new_home: Path, tmp_path: Path
) -> None:
    assert label_studio.embedded, "the shared server's fixture has seen to it that Label Studio is installed"
    settings = Settings(home=new_home)
    access = ensure_label_studio(settings)
    texts = queue(engine, lines(_MANY), tmp_path)
    pid = loop_status(settings)[0].pid
    assert pid is not None
    with _Killed(access.url, access.api_key, sleep=lambda _: None) as client:
        made = make_project(engine, client)
        client.pid = pid
        with pytest.raises(LabelStudioError) as caught:
            push_all(engine, client, made.project_id)
        assert "\n" not in str(caught.value)
    assert len(tasks_of(engine, made.project_id)) == _MANY

    assert ensure_label_studio(settings) == access
    with LabelStudio(access.url, access.api_key) as client:
        report = push_all(engine, client, made.project_id)
        assert report.sent == _MANY
        assert push_all(engine, client, made.project_id).sent == 0
    headers = {"Authorization": f"Token {access.api_key}"}
    with httpx.Client(base_url=access.url, headers=headers, timeout=60, trust_env=False) as api:
        assert_each_once(engine, api, made.project_id, made.label_studio_id, texts)
