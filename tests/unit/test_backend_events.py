"""What is kept of an event, and what is sent for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.jobs import JOBS, PULL, RETRAIN, Jobs
from ml_backend.redact import read_event
from tests.support.requests import JSON


def read(payload: Any, size: int = 0) -> dict[str, Any]:
    row = read_event(payload, size=size, most=1000)
    assert row is not None
    return row


def test_an_event_is_kept_as_it_came() -> None:
    payload = {"action": "ANNOTATION_CREATED", "annotation": {"id": 3, "lead_time": 4.5}, "project": {"id": 7}}
    assert read(payload) == {"action": "ANNOTATION_CREATED", "label_studio_project": 7, "body": payload}


def test_secrets_are_left_out() -> None:
    project = {
        "id": 7,
        "title": "t",
        "token": "hunter2",
        "task_data_password": "hunter2",
        "storage": {"aws_secret_access_key": "hunter2", "url": "https://me:hunter2@host/x", "Api_Key": "hunter2"},
        "created_by": {"email": "a@b.my", "auth_token": "hunter2"},
    }
    body = read({"action": "START_TRAINING", "project": project, "Authorization": "hunter2"})["body"]
    assert "hunter2" not in json.dumps(body)
    assert body["project"] == {
        "id": 7,
        "title": "t",
        "storage": {"url": "https://host/x"},
        "created_by": {"email": "a@b.my"},
    }


def test_of_a_large_event_ids_are_kept() -> None:
    tasks = [{"id": i, "data": {"text": "x"}} for i in range(3)]
    body = read({"action": "TASKS_CREATED", "tasks": tasks, "project": {"id": 7, "token": "t"}}, size=1001)["body"]
    assert body == {
        "summary": True,
        "action": "TASKS_CREATED",
        "tasks": [{"id": 0}, {"id": 1}, {"id": 2}],
        "project": {"id": 7},
    }


@pytest.mark.parametrize("payload", [None, [], "x", {}, {"action": None}, {"action": 3}, {"action": "  "}])
def test_what_names_no_action_is_no_event(payload: object) -> None:
    assert read_event(payload, size=0, most=1000) is None


@pytest.mark.parametrize("project", [None, 7, {"id": "7"}, {"id": True}, {"id": -1}, {"id": 2**40}, {}])
def test_a_project_that_cannot_be_one_is_none(project: object) -> None:
    for size in (0, 2000):
        assert read({"action": "A", "project": project}, size)["label_studio_project"] is None


@given(st.dictionaries(st.text(), JSON), st.sampled_from([0, 2000]))
def test_whatever_is_kept_can_be_stored(payload: dict[str, Any], size: int) -> None:
    row = read({**payload, "action": "A\0\ud800"}, size)
    # neither zero bytes nor lone surrogates nor infinite numbers
    written = json.dumps(row, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in written
    assert written.encode("utf-8")


def test_numbers_that_json_lacks_are_nothing() -> None:
    assert read({"action": "A", "x": [float("nan"), float("inf"), 1.5]})["body"]["x"] == [None, None, 1.5]


def test_deep_nesting_ends() -> None:
    value: Any = "x"
    for _ in range(500):
        value = [value]
    assert len(json.dumps(read({"action": "A", "x": value}))) < 500


def test_the_names_are_those_that_the_server_sends() -> None:
    assert JOBS["START_TRAINING"] == RETRAIN
    named = {"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED"}
    named |= {"TASKS_CREATED", "TASKS_DELETED", "PROJECT_UPDATED"}
    assert {name for name, job in JOBS.items() if job == PULL} == named


def test_a_job_that_waits_is_not_sent_twice() -> None:
    begun, go_on, sent = threading.Event(), threading.Event(), []

    def send(name: str, _: Mapping[str, Any]) -> None:
        begun.set()
        go_on.wait()
        sent.append(name)

    jobs = Jobs(send)
    jobs.wake(PULL)
    begun.wait()
    # the first is on its way, and may be too early for what comes now: one more is due, and only one
    for _ in range(20):
        jobs.wake(PULL)
    jobs.wake(RETRAIN)
    go_on.set()
    jobs.close()
    assert sent == [PULL, PULL, RETRAIN]


def test_of_many_events_the_first_is_seen_to_at_once_and_the_rest_together() -> None:
    begun, sent = threading.Event(), []

    def send(name: str, _: Mapping[str, Any]) -> None:
        sent.append(name)
        begun.set()

    jobs = Jobs(send, least_seconds=3_600)
    jobs.wake(PULL)
    assert begun.wait(10)
    for _ in range(20):
        jobs.wake(PULL)
    assert sent == [PULL]
    # what waits is not forgotten when the backend ends
    jobs.close()
    assert sent == [PULL, PULL]


def test_a_failing_broker_is_said_once_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    broken = True
    sent = []

    def send(name: str, _: Mapping[str, Any]) -> None:
        if broken:
            raise ConnectionError("no broker")
        sent.append(name)

    jobs = Jobs(send, least_seconds=0)
    for _ in range(3):
        # one after the other: a job that waits would not be sent again
        done = threading.Event()
        jobs.wake(PULL)
        jobs._sender.submit(done.set)
        assert done.wait(10)
    broken = False
    jobs.wake(RETRAIN)
    jobs.close()
    assert sent == [RETRAIN]
    assert [line for line in caplog.messages if "cannot be sent" in line] == caplog.messages[:1]
