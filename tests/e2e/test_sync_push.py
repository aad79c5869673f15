"""Queued texts into a real Label Studio: each once, in the queue's order, with its ticks shown at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select, update

from pipeline import store
from pipeline.errors import LabelStudioError, LabelStudioMissing, RunConflict
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState, QueueState, TaskState
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.pull.pull import pull
from tests.support.backend import promote, served, train_model
from tests.support.label_studio import (
    TAXONOMY,
    Line,
    annotate,
    credentials,
    lines,
    make_project,
    public_id,
    push_all,
    queue,
    tasks_of,
)
from tests.support.proxies import Fault, faulty_proxy
from tests.support.pushed import assert_each_once, on_server, waiting

Json = dict[str, Any]
#: of a request that may be repeated
_TRIES = 4


@pytest.fixture
def client(label_studio: LabelStudioAccess) -> Iterator[LabelStudio]:
    with LabelStudio(label_studio.url, label_studio.api_key, sleep=lambda _: None) as found:
        yield found


def next_task(api: httpx.Client, project: int) -> Json:
    """What a volunteer is served."""
    found: Json = api.get(f"/api/projects/{project}/next").raise_for_status().json()
    return found


def ticks(task: Json) -> list[list[str]]:
    """What each prediction of a task ticks."""
    return [[one for region in told["result"] for one in region["value"]["choices"]] for told in task["predictions"]]


def test_tasks_are_served_in_the_order_of_the_queue_with_their_ticks(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    given = [*lines(3, "hate"), Line("ayat yang baik", ("informative",), priority=0.9)]
    wanted = sorted(given, key=lambda one: -one.priority)
    queue(engine, given[::-1], tmp_path)
    made = make_project(engine, client)
    report = push_all(engine, client, made.project_id)
    assert (report.sent, report.adopted, report.waiting) == (4, 0, 0)

    there = label_studio_api.get(f"/api/projects/{made.label_studio_id}/").json()
    assert there["model_version"] == report.version
    served_texts = []
    for one in wanted:
        task = next_task(label_studio_api, made.label_studio_id)
        served_texts.append(task["data"]["text"])
        assert ticks(task) == [list(one.labels)]
        assert task["predictions"][0]["model_version"] == report.version
        name = TAXONOMY[one.labels[0]].name
        assert f"{name.en}: A language model says so. / {name.ms}: Satu model bahasa" in task["data"]["why"]
        annotate(label_studio_api, task["id"], one.labels)
    assert served_texts == [one.text for one in wanted]


def test_a_second_push_sends_nothing_and_a_later_text_comes_under_the_same_version(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    texts = queue(engine, lines(3), tmp_path)
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client)
        first = push_all(engine, client, made.project_id, limit=2)
        assert (first.sent, first.waiting) == (2, 1)
        assert push_all(engine, client, made.project_id).sent == 1
        again = push_all(engine, client, made.project_id)
        assert (again.sent, again.version) == (0, None)
        assert proxy.count("POST", "/import") == 2
        # queued once more, as after a new drawing: it is there already
        with open_session(engine) as session, session.begin():
            session.execute(update(store.QueueItem).values(state=QueueState.QUEUED))
        assert push_all(engine, client, made.project_id).sent == 0
        assert proxy.count("POST", "/import") == 2
    there = on_server(label_studio_api, made.label_studio_id)
    assert Counter(task["data"]["text_id"] for task in there) == Counter(public_id(engine, one) for one in texts)
    assert {one["model_version"] for task in there for one in task["predictions"]} == {first.version}


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOST_ANSWER,
        Fault.BAD_GATEWAY_AFTER,
        Fault.HALF_BODY,
        Fault.NOT_JSON,
        Fault.NEVER_ARRIVES,
        Fault.SERVER_ERROR,
        Fault.TOO_MANY,
        Fault.UNAUTHORIZED,
    ],
)
def test_whatever_befalls_the_call_each_text_arrives_once(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path, fault: Fault
) -> None:
    texts = queue(engine, lines(4), tmp_path)
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client)
        proxy.fail(fault, "POST", "/import")
        try:
            assert push_all(engine, client, made.project_id).sent == 4
        except LabelStudioError as error:
            assert "\n" not in str(error)
            assert on_server(label_studio_api, made.label_studio_id) == [], "it raises only if nothing arrived"
            assert push_all(engine, client, made.project_id).sent == 4
        assert push_all(engine, client, made.project_id).sent == 0
    assert_each_once(engine, label_studio_api, made.project_id, made.label_studio_id, texts)
    assert ticks(next_task(label_studio_api, made.label_studio_id)) == [["hate"]]


def test_a_server_that_breaks_off_and_stays_away_is_asked_again_by_the_next_push(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    texts = queue(engine, lines(3), tmp_path)
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client)
        proxy.fail(Fault.LOST_ANSWER, "POST", "/import")
        proxy.fail(Fault.UNAVAILABLE, "GET", "/api/tasks/", times=_TRIES)
        with pytest.raises(LabelStudioError):
            push_all(engine, client, made.project_id)
        assert {task.state for task in tasks_of(engine, made.project_id).values()} == {TaskState.PUSHING}
        report = push_all(engine, client, made.project_id)
        assert (report.sent, report.adopted) == (3, 3)
        assert proxy.count("POST", "/import") == 1
    assert_each_once(engine, label_studio_api, made.project_id, made.label_studio_id, texts)
    # what was adopted is shown as what was sent is, whatever comes later
    assert ticks(next_task(label_studio_api, made.label_studio_id)) == [["hate"]]


def test_ticks_of_an_adopted_call_stay_when_more_is_sent(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    queue(engine, lines(2), tmp_path)
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client)
        proxy.fail(Fault.LOST_ANSWER, "POST", "/import")
        proxy.fail(Fault.UNAVAILABLE, "GET", "/api/tasks/", times=_TRIES)
        with pytest.raises(LabelStudioError):
            push_all(engine, client, made.project_id, now=datetime.now(UTC) - timedelta(hours=1))
        queue(engine, lines(2, "porn"), tmp_path)
        assert push_all(engine, client, made.project_id).sent == 4
    shown = label_studio_api.get(f"/api/projects/{made.label_studio_id}/").json()["model_version"]
    there = on_server(label_studio_api, made.label_studio_id)
    assert [[one["model_version"] for one in task["predictions"]] for task in there] == [[shown]] * 4
    assert len(ticks(next_task(label_studio_api, made.label_studio_id))[0]) == 1


def test_a_version_that_could_not_be_shown_is_shown_by_the_next_push(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    queue(engine, lines(2), tmp_path)
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client)
        proxy.fail(Fault.UNAVAILABLE, "PATCH", f"/api/projects/{made.label_studio_id}/", times=_TRIES)
        with pytest.raises(LabelStudioError):
            push_all(engine, client, made.project_id)
        # an import shows its version by itself, unless somebody took that back
        client.update_project(made.label_studio_id, model_version="")
        assert push_all(engine, client, made.project_id).sent == 0
    assert ticks(next_task(label_studio_api, made.label_studio_id)) == [["hate"]]
    with open_session(engine) as session:
        batches = session.scalars(select(store.PredictionBatch)).all()
        project = session.get_one(store.Project, made.project_id)
    assert [(one.version, one.state) for one in batches] == [(project.model_version, "shown")]


def test_two_pushes_at_once_are_refused(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    texts = queue(engine, lines(2), tmp_path)
    refused: list[RunConflict] = []

    class Busy(LabelStudio):
        def import_tasks(self, project: int, tasks: Any) -> list[int]:
            with pytest.raises(RunConflict) as caught:
                push_all(engine, self, made.project_id)
            refused.append(caught.value)
            return super().import_tasks(project, tasks)

    with Busy(label_studio.url, label_studio.api_key) as client:
        made = make_project(engine, client)
        assert push_all(engine, client, made.project_id).sent == 2
    assert "already running" in str(refused[0])
    assert_each_once(engine, label_studio_api, made.project_id, made.label_studio_id, texts)


def test_nothing_is_pushed_to_a_project_that_is_gone(engine: Engine, client: LabelStudio, tmp_path: Path) -> None:
    queue(engine, lines(1), tmp_path)
    made = make_project(engine, client)
    with open_session(engine) as session, session.begin():
        session.get_one(store.Project, made.project_id).state = ProjectState.GONE
    with pytest.raises(LabelStudioMissing, match="saring sync setup"):
        push_all(engine, client, made.project_id)
    assert waiting(engine) == 1


def test_a_blind_task_shows_no_ticks_and_its_backend_adds_none(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    promote(engine, train_model(tmp_path))
    blind, plain = queue(
        engine,
        [
            Line("semalam kami pergi kedai 1 lucah", ("porn",), blind=True, priority=0.9),
            Line("semalam kami pergi kedai 2 lucah", ("porn",), priority=0.1),
        ],
        tmp_path,
    )
    with served(engine, credentials=credentials(engine)) as backend:
        made = make_project(engine, client, backend_url=backend.url)
        assert made.backend is True
        report = push_all(engine, client, made.project_id)
        assert (report.sent, report.blind) == (2, 1)
        noted = tasks_of(engine, made.project_id)
        first = next_task(label_studio_api, made.label_studio_id)
        assert first["id"] == noted[blind].label_studio_id
        assert (ticks(first), first["data"]["why"], first["data"]["confidence"]) == ([[]], "", None)
        opened = label_studio_api.get(f"/api/tasks/{first['id']}/").json()
        assert ticks(opened) == [[]]
        annotate(label_studio_api, first["id"], ["porn"])
        second = next_task(label_studio_api, made.label_studio_id)
        assert second["id"] == noted[plain].label_studio_id
        assert ticks(second) == [["porn"]]
    # what would have been ticked is kept, to compare with
    with open_session(engine) as session:
        kept = session.get_one(store.Prediction, (made.project_id, str(report.version), blind))
        assert kept.labels == ["porn"]


def test_a_push_of_many_calls_whose_last_is_lost_sends_each_text_once(
    engine: Engine,
    label_studio: LabelStudioAccess,
    label_studio_api: httpx.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sync.push.push._BATCH", 3)
    monkeypatch.setattr("sync.api.client._MARKED", 2)
    texts = queue(engine, lines(8), tmp_path)
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client)
        for lost in (0, 2):
            proxy.fail(Fault.LOST_ANSWER, "POST", "/import", skip=lost)
        assert push_all(engine, client, made.project_id).sent == 8
        assert proxy.count("POST", "/import") == 3
    assert_each_once(engine, label_studio_api, made.project_id, made.label_studio_id, texts)
    in_order = [task.label_studio_id for task in tasks_of(engine, made.project_id).values()]
    assert len(set(in_order)) == 8


def test_a_random_tenth_is_meant_for_two_volunteers_and_waits_for_the_first(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    queue(engine, [Line(f"ayat tetap nombor {i}", ("hate",), priority=1 - i / 50) for i in range(40)], tmp_path)
    made = make_project(engine, client)
    push_all(engine, client, made.project_id)
    assert 0 < sum(task.paired for task in tasks_of(engine, made.project_id).values()) < 12
    assert {task["overlap"] for task in on_server(label_studio_api, made.label_studio_id)} == {1}


def test_what_a_volunteer_opted_out_of_and_more_than_a_days_harsh_texts_are_held_back(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    given = lines(3, "hate") + lines(2, "porn") + lines(2, "informative")
    texts = queue(engine, given, tmp_path)
    q = store.QueueItem
    with open_session(engine) as session, session.begin():
        session.execute(update(q).where(q.expected.any_() != "informative").values(harsh=True))
    made = make_project(engine, client, harsh_cap=2, opt_out=["porn"])
    today = datetime.now(UTC)
    report = push_all(engine, client, made.project_id, now=today)
    assert (report.sent, report.harsh, report.held_back, report.waiting) == (4, 2, 3, 3)
    noted = tasks_of(engine, made.project_id)
    assert set(noted) == {*texts[:2], *texts[5:]}
    assert push_all(engine, client, made.project_id, now=today).sent == 0

    # done today is met today: there is room again tomorrow
    for text in texts[:2]:
        annotate(label_studio_api, noted[text].label_studio_id or 0, ["hate"])
    pull(engine, client, taxonomy=TAXONOMY, now=today)
    assert push_all(engine, client, made.project_id, now=today).sent == 0
    tomorrow = push_all(engine, client, made.project_id, now=today + timedelta(days=1))
    assert (tomorrow.sent, tomorrow.harsh, tomorrow.held_back) == (1, 1, 2)
    assert texts[2] in tasks_of(engine, made.project_id)


def test_what_is_sent_is_masked_and_names_nobody(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    queue(engine, [Line("hubungi saya di 012-345 6789 atau ali@example.com", ("informative",))], tmp_path)
    made = make_project(engine, client)
    push_all(engine, client, made.project_id)
    [task] = on_server(label_studio_api, made.label_studio_id)
    assert "6789" not in json.dumps(task)
    assert "ali@example.com" not in json.dumps(task)
