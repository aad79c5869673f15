"""Predictions written ahead in a real Label Studio: all are switched at once, and the old ones removed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, event, select

from pipeline import store
from pipeline.errors import LabelStudioError, LabelStudioMissing, RunConflict
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import Change, ProjectState, TaskState
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.project.label_config import label_config
from sync.project.wiring import BACKEND_TITLE
from sync.pull.pull import pull
from sync.pull.reconcile import reconcile
from tests.support.backend import served
from tests.support.label_studio import (
    TAXONOMY,
    Json,
    Line,
    annotate,
    credentials,
    make_project,
    push_all,
    queue,
    tasks_of,
)
from tests.support.proxies import Fault
from tests.support.pushed import Pushed, pushed_project, ticks
from tests.support.taxonomy import taxonomy_of
from tests.support.waiting import until

#: of a request that may be repeated
_TRIES = 4


@pytest.fixture
def pushed(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> Iterator[Pushed]:
    with pushed_project(engine, label_studio, label_studio_api, tmp_path) as found:
        yield found


def test_new_ticks_and_their_reasons_replace_the_old_ones_in_the_same_order(pushed: Pushed) -> None:
    pushed.say(1, "sexist")
    untouched = pushed.task(0)["data"]
    report = pushed.predict()
    assert report.version not in (None, pushed.version)
    new = str(report.version)
    assert (report.sent, report.created, report.changed, report.panels) == (4, 4, 1, 1)
    assert report.removed == (pushed.version,)
    assert pushed.settings()["model_version"] == new
    assert pushed.versions() == {new: 4}
    assert pushed.batches() == {pushed.version: "removed", new: "shown"}

    assert [ticks(pushed.task(i), new) for i in range(4)] == [[["hate"]], [["sexist"]], [["hate"]], [[]]]
    data = pushed.task(1)["data"]
    assert data["why"].startswith(f"{TAXONOMY['sexist'].name.en}: A language model says so. / ")
    assert TAXONOMY["hate"].name.en not in data["why"]
    assert pushed.task(0)["data"] == untouched
    # nor do reasons tell of ticks where there must be none
    assert pushed.task(3)["data"]["why"] == ""

    served = []
    for number in range(4):
        task = pushed.next_task()
        served.append(task["id"])
        assert task["predictions"][0]["model_version"] == new
        annotate(pushed.api, task["id"], ["hate"])
        assert task["id"] == pushed.id_of(number)
    assert len(set(served)) == 4


def test_what_people_have_done_is_left_alone(pushed: Pushed) -> None:
    done = pushed.id_of(0)
    said = annotate(pushed.api, done, ["hate"])
    pull(pushed.engine, pushed.client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    before = pushed.task(0)["data"]
    for number in range(2):
        pushed.say(number, "sexist")
    report = pushed.predict()
    assert (report.sent, report.changed) == (3, 1)
    assert ticks(pushed.task(0), str(report.version)) == []
    assert pushed.task(0)["data"] == before
    kept = pushed.api.get(f"/api/annotations/{said['id']}/").json()
    assert kept["result"] == said["result"]


def test_what_somebody_began_from_is_known_though_it_was_replaced_before_their_work_came_home(pushed: Pushed) -> None:
    task = pushed.next_task()
    [told] = task["predictions"]
    # as the page sends what was kept
    kept = [region | {"origin": "prediction"} for region in told["result"]]
    annotate(pushed.api, task["id"], [], result=kept, parent_prediction=told["id"])
    pushed.predict()
    pull(pushed.engine, pushed.client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    with open_session(pushed.engine) as session:
        [annotation] = session.scalars(select(store.Annotation))
    assert (annotation.change, annotation.predicted) == (Change.KEPT, ["hate"])
    assert annotation.prediction_version == pushed.version


def test_nothing_to_do_is_said_so(pushed: Pushed) -> None:
    for number in range(4):
        annotate(pushed.api, pushed.id_of(number), ["hate"])
    pull(pushed.engine, pushed.client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    report = pushed.predict()
    assert (report.version, report.sent) == (None, 0)
    assert pushed.settings()["model_version"] == pushed.version


def test_if_the_server_takes_fewer_than_were_sent_the_old_ones_stay(pushed: Pushed) -> None:
    path = f"/api/projects/{pushed.label_studio_id}/"
    lacking = label_config(taxonomy_of(label for label in TAXONOMY if label.key != "sexist"))
    pushed.api.patch(path, json={"label_config": lacking}).raise_for_status()
    pushed.say(1, "sexist")
    before = pushed.task(1)["data"]
    with pytest.raises(LabelStudioError, match=r"took 3 of 4 predictions .*\['sexist'\].*saring sync setup"):
        pushed.predict()
    assert pushed.settings()["model_version"] == pushed.version
    assert ticks(pushed.task(1), pushed.version) == [["hate"]]
    assert pushed.task(1)["data"] == before
    assert ticks(pushed.next_task(), pushed.version) == [["hate"]]
    assert sorted(pushed.batches().values()) == ["failed", "shown"]

    make_project(pushed.engine, pushed.client, title=None)
    report = pushed.predict(minutes=2)
    assert pushed.versions() == {report.version: 4}
    assert sorted(pushed.batches().values()) == ["removed", "removed", "shown"]


@pytest.mark.parametrize(
    ("fault", "method", "path"),
    [
        (Fault.LOST_ANSWER, "POST", "/import/predictions"),
        (Fault.BAD_GATEWAY_AFTER, "POST", "/import/predictions"),
        (Fault.HALF_BODY, "POST", "/import/predictions"),
        (Fault.NEVER_ARRIVES, "POST", "/import/predictions"),
        (Fault.UNAUTHORIZED, "POST", "/import/predictions"),
        (Fault.UNAVAILABLE, "PATCH", "/api/tasks/"),
        (Fault.UNAVAILABLE, "PATCH", "/api/projects/"),
    ],
)
def test_whatever_befalls_it_the_old_ticks_stay_until_the_next_run(
    pushed: Pushed, fault: Fault, method: str, path: str
) -> None:
    pushed.say(0, "sexist")
    pushed.proxy.fail(fault, method, path, times=1 if method == "POST" else _TRIES)
    with pytest.raises(LabelStudioError):
        pushed.predict()
    assert pushed.settings()["model_version"] == pushed.version
    assert ticks(pushed.next_task(), pushed.version) == [["hate"]]

    report = pushed.predict(minutes=2)
    assert (report.sent, report.created) == (4, 4)
    assert pushed.versions() == {report.version: 4}
    assert ticks(pushed.next_task(), str(report.version)) == [["sexist"]]


def test_a_switch_whose_answer_was_lost_is_made_good_by_the_next_run(pushed: Pushed) -> None:
    pushed.proxy.fail(Fault.LOST_ANSWER, "PATCH", "/api/projects/", times=_TRIES)
    with pytest.raises(LabelStudioError):
        pushed.predict()
    # it shows the new ones already, and nobody knows
    assert pushed.settings()["model_version"] != pushed.version
    report = pushed.predict(minutes=2)
    assert pushed.settings()["model_version"] == report.version
    assert pushed.versions() == {report.version: 4}
    assert ticks(pushed.next_task(), str(report.version)) == [["hate"]]


def test_a_task_that_somebody_removed_is_named_as_the_reason_and_a_reconciliation_as_the_way_out(
    pushed: Pushed,
) -> None:
    pushed.api.delete(f"/api/tasks/{pushed.id_of(2)}/").raise_for_status()
    with pytest.raises(LabelStudioError, match=r"the old ones stay.*saring sync reconcile"):
        pushed.predict()
    assert pushed.settings()["model_version"] == pushed.version
    assert ticks(pushed.next_task(), pushed.version) == [["hate"]]
    reconcile(pushed.engine, pushed.client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    assert pushed.predict(minutes=2).created == 3


def test_a_push_waits_for_predictions_that_are_being_written_and_its_tasks_have_ticks(
    pushed: Pushed, label_studio: LabelStudioAccess, tmp_path: Path
) -> None:
    queue(pushed.engine, [Line(f"baru {uuid.uuid4().hex[:8]}", ("porn",))], tmp_path)
    threads: list[threading.Thread] = []

    def push_beside() -> None:
        with LabelStudio(pushed.client.url, label_studio.api_key) as other:
            push_all(pushed.engine, other, pushed.project)

    looked_for_the_lock = threading.Event()

    def notice(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "pg_try_advisory" in statement and threads and threading.current_thread() is threads[0]:
            looked_for_the_lock.set()

    def waits_or_is_done() -> bool:
        return looked_for_the_lock.is_set() or not threads[0].is_alive()

    class Slow(LabelStudio):
        def import_predictions(self, project: int, predictions: Sequence[Json]) -> int:
            created = super().import_predictions(project, predictions)
            if not threads:
                threads.append(threading.Thread(target=push_beside))
                threads[0].start()
                until(waits_or_is_done, "the other push has come so far")
            return created

    event.listen(pushed.engine, "after_cursor_execute", notice)
    try:
        with Slow(pushed.client.url, label_studio.api_key) as slow:
            pushed.predict(slow)
        threads[0].join()
    finally:
        event.remove(pushed.engine, "after_cursor_execute", notice)
    shown = pushed.settings()["model_version"]
    tasks = tasks_of(pushed.engine, pushed.project).values()
    assert len(tasks) == 5
    assert {task.state for task in tasks} == {TaskState.OPEN}
    assert pushed.versions() == {shown: 5}


def test_two_runs_at_once_are_refused_and_so_is_a_project_that_is_gone(
    pushed: Pushed, label_studio: LabelStudioAccess
) -> None:
    class Busy(LabelStudio):
        def import_predictions(self, project: int, predictions: Sequence[Json]) -> int:
            with pytest.raises(RunConflict, match="already running"):
                pushed.predict(self, minutes=2)
            return super().import_predictions(project, predictions)

    with Busy(pushed.client.url, label_studio.api_key) as busy:
        assert pushed.predict(busy).created == 4
    with open_session(pushed.engine) as session, session.begin():
        session.get_one(store.Project, pushed.project).state = ProjectState.GONE
    with pytest.raises(LabelStudioMissing, match="saring sync setup"):
        pushed.predict(minutes=3)


def test_a_dead_backend_takes_nothing_from_the_page(pushed: Pushed) -> None:
    with served(pushed.engine, credentials=credentials(pushed.engine)) as backend:
        done = make_project(pushed.engine, pushed.client, title=None, backend_url=backend.url)
        assert done.backend is True
        assert pushed.settings()["model_version"] == pushed.version
        # somebody chose the backend in the settings, so that people would wait for it
        pushed.client.update_project(pushed.label_studio_id, model_version=BACKEND_TITLE)
        again = make_project(pushed.engine, pushed.client, title=None, backend_url=backend.url)
        assert again.changed == ("predictions written ahead are shown",)
    task = pushed.next_task()
    assert task["id"] == pushed.id_of(0)
    assert ticks(task, pushed.version) == [["hate"]]
    report = pushed.predict()
    assert ticks(pushed.next_task(), str(report.version)) == [["hate"]]
