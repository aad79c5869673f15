"""/webhook of a backend that is being served: events are kept, and jobs handed on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.backend_credentials import WEBHOOK_HEADER
from pipeline.store.session import make_engine
from tests.support.backend import PASSWORD, SECRET, Backend, served
from tests.support.waiting import until

EVENT = {
    "action": "ANNOTATION_CREATED",
    "annotation": {"id": 3, "result": [{"value": {"choices": ["porn"]}}], "was_cancelled": False},
    "task": {"id": 5, "data": {"text": "teks"}},
    "project": {"id": 7, "title": "t", "token": "hunter2", "task_data_password": "hunter2"},
}


@pytest.fixture
def backend(engine: Engine) -> Iterator[Backend]:
    with served(engine) as running:
        yield running


def tell(backend: Backend, event: object, secret: str = SECRET) -> int:
    content = event if isinstance(event, bytes) else json.dumps(event).encode()
    with backend.client(auth=None) as client:
        return client.post("/webhook", content=content, headers={WEBHOOK_HEADER: secret}).status_code


def kept(session: Session) -> list[store.Event]:
    session.rollback()
    return list(session.scalars(select(store.Event).order_by(store.Event.id)))


def test_an_event_is_kept_once_without_its_secrets(backend: Backend, session: Session) -> None:
    assert tell(backend, EVENT) == 201
    [event] = kept(session)
    assert (event.action, event.label_studio_project, event.handled_at) == ("ANNOTATION_CREATED", 7, None)
    assert event.body == EVENT | {"project": {"id": 7, "title": "t"}}
    until(lambda: backend.sent == ["saring.pull"], "the job is sent")


@pytest.mark.parametrize(
    ("action", "job"),
    [
        ("ANNOTATION_UPDATED", "saring.pull"),
        ("ANNOTATIONS_CREATED", "saring.pull"),
        ("ANNOTATIONS_DELETED", "saring.pull"),
        ("TASKS_CREATED", "saring.pull"),
        ("TASKS_DELETED", "saring.pull"),
        ("PROJECT_UPDATED", "saring.pull"),
    ],
)
def test_each_event_has_its_job(backend: Backend, session: Session, action: str, job: str) -> None:
    assert tell(backend, {"action": action, "project": {"id": 7}}) == 201
    until(lambda: backend.sent == [job], "the job is sent")
    assert [event.action for event in kept(session)] == [action]


def test_an_event_that_nobody_knows_is_kept_and_nothing_more(backend: Backend, session: Session) -> None:
    assert tell(backend, {"action": "LABEL_LINK_CREATED"}) == 201
    assert tell(backend, EVENT) == 201
    until(lambda: backend.sent == ["saring.pull"], "the other's job is sent")
    assert [event.action for event in kept(session)] == ["LABEL_LINK_CREATED", "ANNOTATION_CREATED"]


def test_a_stranger_is_refused(backend: Backend, session: Session) -> None:
    assert [tell(backend, EVENT, secret) for secret in ("", "wrong", PASSWORD)] == [401, 401, 401]
    with backend.client(auth=("label-studio", "wrong")) as client:
        assert client.post("/webhook", json=EVENT).status_code == 401
    assert kept(session) == []
    assert backend.sent == []


def test_a_training_is_started_with_the_password_only(backend: Backend, session: Session) -> None:
    # volunteers can read the secret of the webhook
    assert tell(backend, {"action": "START_TRAINING"}) == 400
    assert kept(session) == []
    with backend.client() as client:
        assert client.post("/webhook", json={"action": "START_TRAINING"}).status_code == 201
    until(lambda: backend.sent == ["saring.retrain"], "the job is sent")
    assert len(kept(session)) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"action": 5}', b'{"action": "A"', b"\xff\xfe"])
def test_a_broken_event_is_refused(backend: Backend, session: Session, body: bytes) -> None:
    assert tell(backend, body) == 400
    assert kept(session) == []


def test_what_the_database_cannot_hold_is_left_out(backend: Backend, session: Session) -> None:
    body = b'{"action": "A", "x": "a\\u0000b\\ud83d", "n": NaN, "big": 123456789012345678901234567890}'
    assert tell(backend, body) == 201
    [event] = kept(session)
    assert (event.body["x"], event.body["n"]) == ("ab\N{REPLACEMENT CHARACTER}", None)


def test_of_a_large_event_ids_are_kept(backend: Backend, session: Session) -> None:
    tasks = [{"id": i, "data": {"text": "x" * 500}} for i in range(5_000)]
    assert tell(backend, {"action": "TASKS_CREATED", "tasks": tasks, "project": {"id": 7}}) == 201
    [event] = kept(session)
    assert event.body["tasks"][-1] == {"id": 4_999}
    assert "data" not in event.body["tasks"][0]


def test_many_events_at_once_are_all_kept(backend: Backend, session: Session) -> None:
    def send(number: int) -> None:
        for i in range(10):
            assert tell(backend, {"action": "ANNOTATION_CREATED", "annotation": {"id": number * 10 + i}}) == 201

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.body["annotation"]["id"] for event in kept(session)) == list(range(80))
    until(lambda: len(backend.sent) > 0, "a job is sent")


def test_a_broker_that_is_away_or_slow_keeps_nobody_waiting(engine: Engine, session: Session) -> None:
    answered = threading.Event()

    def send(_name: str, _arguments: Mapping[str, Any]) -> None:
        answered.wait(30)
        raise ConnectionError("no broker")

    with served(engine, send_job=send) as backend:
        assert [tell(backend, EVENT) for _ in range(5)] == [201] * 5
        answered.set()
    assert len(kept(session)) == 5


def test_without_the_database_the_event_is_not_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    away = make_engine(f"postgresql://nobody@/none?host={tmp_path_factory.mktemp('none')}")
    with served(away) as backend:
        assert tell(backend, EVENT) == 503
        assert backend.sent == []
    away.dispose()
