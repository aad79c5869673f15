"""/health, /setup, /versions and /predict of a backend that is being served."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ml_backend.config import Limits
from pipeline import store
from pipeline.backend_credentials import BACKEND_USER
from pipeline.learning.train import TrainReport
from pipeline.preannotation import Policy, default_policy
from tests.support.backend import (
    PASSWORD,
    PROJECT,
    TAXONOMY,
    Backend,
    add_text,
    choices,
    label_config,
    promote,
    push_task,
    request,
    served,
    task,
    train_model,
)
from tests.support.requests import TASKS
from tests.support.waiting import until


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    return train_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def backend(engine: Engine, report: TrainReport) -> Iterator[Backend]:
    promote(engine, report)
    with served(engine) as running:
        yield running


def test_the_health_is_told_to_everybody(backend: Backend) -> None:
    with backend.client(auth=None) as client:
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["status"], answer.json()["model_class"]) == (200, "UP", "Saring")
        for method, path in (("POST", "/predict"), ("POST", "/setup"), ("GET", "/versions"), ("GET", "/docs")):
            assert client.request(method, path).status_code == 401
    assert PASSWORD not in answer.text


def test_every_prediction_carries_the_version_of_setup(backend: Backend, report: TrainReport) -> None:
    add_text(backend.engine, "teks yang dikenali", "hate")
    tasks = [task("cerita lucah lagi"), task("teks yang dikenali"), task(None), "no task"]
    version = backend.version()
    assert report.model.manifest.version in version
    assert [one["model_version"] for one in backend.predict(tasks)] == [version] * 4
    assert backend.predict(tasks, "<broken")[0]["model_version"] == version


def test_unknown_texts_come_from_the_champion(backend: Backend) -> None:
    lewd, clean = backend.predict([task("cerita lucah lagi semalam"), task("main bola lagi semalam")])
    assert (choices(lewd), choices(clean)) == (["porn"], [])
    [region] = lewd["result"]
    assert {k: region[k] for k in ("from_name", "to_name", "type")} == {
        "from_name": "labels",
        "to_name": "text",
        "type": "choices",
    }
    assert 0 <= lewd["score"] <= 1


def test_known_texts_come_from_the_ledger(backend: Backend) -> None:
    body = "hubungi 012-345 6789 sekarang"
    known = add_text(backend.engine, body, "hate")
    masked = "hubungi <phone> sekarang"
    by_id, by_words, neither = backend.predict([task(masked, text_id=str(known)), task(body), task(masked)])
    assert choices(by_id) == choices(by_words) == ["hate"]
    # the masked words alone may stand for other texts
    assert choices(neither) == []


def test_an_id_whose_text_was_edited_is_not_believed(backend: Backend) -> None:
    known = add_text(backend.engine, "memang benci sangat", "hate")
    [edited] = backend.predict([task("cerita lucah semalam", text_id=str(known))])
    assert choices(edited) == ["porn"]


def test_blind_tasks_get_nothing(backend: Backend) -> None:
    known = add_text(backend.engine, "cerita lucah semalam", "porn")
    push_task(backend.engine, known, priority=0.75, blind=True)
    shown, edited = backend.predict(
        [task("cerita lucah semalam", text_id=str(known)), task("cerita lucah baru", text_id=str(known))]
    )
    assert (shown["result"], shown["score"]) == ([], 0.25)
    assert edited["result"] == []


def test_a_task_of_the_queue_is_served_in_the_order_of_the_queue(backend: Backend) -> None:
    known = add_text(backend.engine, "cerita lucah semalam", "porn")
    push_task(backend.engine, known, priority=0.75)
    [prediction] = backend.predict([task("cerita lucah semalam", text_id=str(known))])
    assert (choices(prediction), prediction["score"]) == (["porn"], 0.25)


@pytest.mark.parametrize("project", [f"{PROJECT}.12345", "8.1795437340", None])
def test_the_same_text_in_another_project_is_not_blind(backend: Backend, project: str | None) -> None:
    known = add_text(backend.engine, "cerita lucah semalam", "porn")
    push_task(backend.engine, known, blind=True)
    with backend.client() as client:
        body = request([task("cerita lucah semalam")]) | {"project": project}
        [prediction] = client.post("/predict", json=body).json()["results"]
    assert choices(prediction) == ["porn"]


def test_labels_are_checked_against_the_config(backend: Backend) -> None:
    add_text(backend.engine, "teks dua label", "hate", "violence")
    text = task("teks dua label")
    [everything] = backend.predict([text])
    assert sorted(choices(everything)) == ["hate", "violence"]
    [spelled] = backend.predict([text], label_config(["Hate", "sports"]))
    assert choices(spelled) == ["Hate"]
    [single] = backend.predict([text], label_config(TAXONOMY.keys, "single"))
    assert len(choices(single)) == 1
    for useless in ("", "<View/>", 5, label_config(["sports"])):
        [nothing] = backend.predict([text], useless)
        assert nothing["result"] == []


def test_a_task_without_a_text_is_predicted_empty_and_served_last(backend: Backend) -> None:
    tasks = [task(None), task(" "), task(5), {"data": {"other": "x"}}, {}, None, [], "x"]
    assert [(one["result"], one["score"]) for one in backend.predict(tasks)] == [([], 1.0)] * len(tasks)


def test_a_text_of_a_megabyte_is_predicted(backend: Backend) -> None:
    long, short = backend.predict([task("lucah " * 170_000), task("cerita lucah semalam")])
    assert choices(long) == choices(short) == ["porn"]


def test_interactive_requests_are_answered_like_any_other(backend: Backend) -> None:
    body = request([task("cerita lucah semalam") | {"drafts": [{"result": []}]}]) | {
        "params": {"context": {"result": []}},
        "unknown": {"field": 1},
    }
    with backend.client() as client:
        [prediction] = client.post("/predict", json=body).json()["results"]
    assert choices(prediction) == ["porn"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=TASKS, more=st.integers(1, 40), config=st.sampled_from([None, "<View/>", "<", 3]))
def test_there_is_a_prediction_for_each_task(backend: Backend, tasks: list[Any], more: int, config: object) -> None:
    results = backend.predict(tasks + [task("cerita lucah semalam")] * more, config)
    assert len(results) == len(tasks) + more
    assert {one["model_version"] for one in results} == {backend.version()}
    known = set(TAXONOMY.keys) if config is None else set()
    assert all(set(choices(one)) <= known and 0 <= one["score"] <= 1 for one in results)
    # the last ones, whatever came before them
    assert [choices(one) for one in results[len(tasks) :]] == [["porn"] if config is None else []] * more


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"tasks": 1}', b"{}", b"\xff", b"[" * 100_000, b'{"tasks": [' + b"[" * 5000],
)
def test_a_bad_body_is_refused_in_one_line(backend: Backend, body: bytes) -> None:
    with backend.client() as client:
        answer = client.post("/predict", content=body)
        assert answer.status_code == 400
        assert len(answer.text.splitlines()) == 1
        assert client.get("/health").status_code == 200


def test_a_lone_surrogate_does_not_cost_the_batch(backend: Backend) -> None:
    body = json.dumps(request([task("cerita lucah \ud83d semalam"), task("cerita lucah semalam")]))
    with backend.client() as client:
        results = client.post("/predict", content=body.encode()).json()["results"]
    assert [choices(one) for one in results] == [["porn"], ["porn"]]


def test_a_body_that_is_too_long_is_refused(engine: Engine) -> None:
    with served(engine, limits=Limits(body=100_000)) as backend, backend.client() as client:
        long = json.dumps(request([task("x" * 200_000)])).encode()
        assert client.post("/predict", content=long).status_code == 413
        # without saying beforehand how much it is
        assert client.post("/predict", content=iter([long[:90_000], long[90_000:]])).status_code == 413
        assert len(client.post("/predict", json=request([task("x")])).json()["results"]) == 1


def test_a_body_that_does_not_arrive_is_given_up(engine: Engine) -> None:
    with served(engine, limits=Limits(arrival=0.3)) as backend:
        url = httpx.URL(backend.url)
        with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
            password = base64.b64encode(f"{BACKEND_USER}:{PASSWORD}".encode()).decode()
            head = f"POST /predict HTTP/1.1\r\nHost: here\r\nAuthorization: Basic {password}\r\n"
            connection.sendall(f'{head}Content-Length: 9000000\r\n\r\n{{"tasks": ['.encode())
            # others are answered meanwhile
            assert len(backend.predict([task("x")])) == 1
            assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_without_a_champion_the_ledger_answers(engine: Engine) -> None:
    add_text(engine, "memang benci sangat", "hate")
    with served(engine) as backend:
        known, unknown = backend.predict([task("memang benci sangat"), task("cerita lucah semalam")])
        version = backend.version()
    assert (choices(known), choices(unknown)) == (["hate"], [])
    assert version == known["model_version"]
    assert "ledger" in version


def test_versions_name_what_serves_and_what_was_written_ahead(backend: Backend, session: Session) -> None:
    add_text(backend.engine, "teks")
    push_task(backend.engine, add_text(backend.engine, "teks lain"))
    project = session.query(store.Project).one()
    for version, state in (("a", "retired"), ("b", "failed"), ("c", "shown")):
        session.add(store.PredictionBatch(project_id=project.id, version=version, state=state))
    session.commit()
    with backend.client() as client:
        listed = client.get("/versions").json()["versions"]
    assert listed[0] == backend.version()
    assert sorted(listed[1:]) == ["a", "c"]


def test_live_predictions_weigh_the_evidence_like_those_written_ahead(
    backend: Backend, session: Session, report: TrainReport
) -> None:
    before = backend.version()
    push_task(backend.engine, add_text(backend.engine, "teks"))
    never = Policy({**default_policy().weights, "intercept": -30.0})
    session.add(
        store.PredictionBatch(
            project_id=session.query(store.Project).one().id,
            version="v",
            state="shown",
            champion=report.model.manifest.version,
            policy=never.to_dict(),
        )
    )
    session.commit()
    until(lambda: backend.version() != before, "the new weights are used")
    assert choices(backend.predict([task("cerita lucah semalam")])[0]) == []


def test_twelve_thousand_tasks_in_one_request(backend: Backend) -> None:
    tasks = [task(f"cerita {'lucah' if i % 3 == 0 else 'bola'} nombor {i}") for i in range(12_000)]
    results = backend.predict(tasks)
    assert len(results) == 12_000
    assert all((choices(one) == ["porn"]) == (i % 3 == 0) for i, one in enumerate(results))
    assert len({one["model_version"] for one in results}) == 1


def test_a_small_request_does_not_wait_for_a_large_one(backend: Backend) -> None:
    large_ended = threading.Event()
    results: list[Any] = []

    def large() -> None:
        results.extend(backend.predict([task(f"cerita lucah nombor {i}") for i in range(20_000)]))
        large_ended.set()

    asking = threading.Thread(target=large)
    asking.start()
    answered = 0
    while not large_ended.is_set():
        assert len(backend.predict([task("cerita lucah semalam")])) == 1
        answered += not large_ended.is_set()
    asking.join()
    assert len(results) == 20_000
    assert answered >= 5


def test_many_at_once_each_get_their_own_answer(backend: Backend) -> None:
    wrong: list[str] = []

    def ask(number: int) -> None:
        with backend.client() as client:
            for i in range(20):
                lewd = (number + i) % 2 == 0
                tasks = [task(f"cerita {'lucah' if lewd else 'bola'} {number} {i}")] * (number % 3 + 1)
                results = client.post("/predict", json=request(tasks)).json()["results"]
                if [choices(one) for one in results] != [["porn"] if lewd else []] * len(tasks):
                    wrong.append(f"{number}.{i}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_log_shows_no_text(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        backend.predict([task("rahsia 012-345 6789")], label_config(["sports"]))
        backend.predict([task("rahsia 012-345 6789"), None])
    assert "rahsia" not in caplog.text
    assert "345" not in caplog.text
