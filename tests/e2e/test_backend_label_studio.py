"""The ML-backend protocol, spoken by the real Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.backend_credentials import BACKEND_USER, WEBHOOK_HEADER
from pipeline.preannotation.label_studio_format import reading_of
from sync.pull.annotations import Shown, read_annotation
from tests.support.backend import (
    PASSWORD,
    SECRET,
    TAXONOMY,
    Backend,
    choices,
    label_config,
    promote,
    served,
    train_model,
)
from tests.support.waiting import until

_TASKS = 200


@pytest.fixture
def backend(engine: Engine, tmp_path: Path) -> Iterator[Backend]:
    promote(engine, train_model(tmp_path))
    with served(engine) as running:
        yield running


@pytest.fixture
def project(label_studio_api: httpx.Client) -> Iterator[int]:
    fields = {"title": "spoken with", "label_config": label_config(TAXONOMY.keys)}
    made = label_studio_api.post("/api/projects/", json=fields).raise_for_status().json()
    yield made["id"]
    label_studio_api.delete(f"/api/projects/{made['id']}/").raise_for_status()


def connect(api: httpx.Client, backend: Backend, project: int, password: str = PASSWORD) -> httpx.Response:
    fields = {"url": backend.url, "project": project, "title": "saring", "is_interactive": True}
    fields |= {"auth_method": "BASIC_AUTH", "basic_auth_user": BACKEND_USER, "basic_auth_pass": password}
    return api.post("/api/ml", json=fields)


def import_tasks(api: httpx.Client, project: int, count: int) -> None:
    tasks = [{"text": f"cerita {'lucah' if i % 2 else 'bola'} nombor {i}"} for i in range(count)]
    api.post(f"/api/projects/{project}/import", json=tasks).raise_for_status()


def retrieve(api: httpx.Client, project: int) -> None:
    everything = {"selectedItems": {"all": True, "excluded": []}}
    action = {"id": "retrieve_tasks_predictions", "project": project}
    api.post("/api/dm/actions", params=action, json=everything, timeout=120).raise_for_status()


def predictions(api: httpx.Client, project: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/api/predictions", params={"project": project}).raise_for_status().json()
    return found


def tasks_of(api: httpx.Client, project: int) -> list[dict[str, Any]]:
    query = {"project": project, "page_size": 1000, "fields": "all"}
    listed: list[dict[str, Any]] = api.get("/api/tasks", params=query).raise_for_status().json()["tasks"]
    return listed


def test_retrieved_predictions_carry_the_version_and_come_once(
    label_studio_api: httpx.Client, backend: Backend, project: int
) -> None:
    connected = connect(label_studio_api, backend, project).raise_for_status().json()
    assert connected["state"] == "CO"
    assert connected["model_version"] == backend.version()
    import_tasks(label_studio_api, project, _TASKS)

    retrieve(label_studio_api, project)
    stored = predictions(label_studio_api, project)
    assert len(stored) == _TASKS
    assert {one["model_version"] for one in stored} == {backend.version()}
    texts = {task["id"]: task["data"]["text"] for task in tasks_of(label_studio_api, project)}
    assert all(choices(one) == (["porn"] if "lucah" in texts[one["task"]] else []) for one in stored)

    retrieve(label_studio_api, project)
    assert len(predictions(label_studio_api, project)) == _TASKS
    versions = label_studio_api.get(f"/api/ml/{connected['id']}/versions").raise_for_status().json()
    assert versions["versions"] == [backend.version()]


def test_a_new_champion_is_asked_again(
    label_studio_api: httpx.Client, backend: Backend, project: int, engine: Engine, tmp_path: Path
) -> None:
    connect(label_studio_api, backend, project).raise_for_status()
    import_tasks(label_studio_api, project, 4)
    retrieve(label_studio_api, project)
    before = backend.version()
    promote(engine, train_model(tmp_path, label="harassment"))
    until(lambda: backend.version() != before, "the new champion serves")
    retrieve(label_studio_api, project)
    by_version: dict[str, list[list[str]]] = {}
    for one in sorted(predictions(label_studio_api, project), key=lambda one: (one["task"], one["id"])):
        by_version.setdefault(one["model_version"], []).append(choices(one))
    assert by_version == {
        before: [[], ["porn"], [], ["porn"]],
        backend.version(): [[], ["harassment"], [], ["harassment"]],
    }


def test_a_task_that_somebody_made_is_predicted_when_it_is_opened(
    label_studio_api: httpx.Client, backend: Backend, project: int
) -> None:
    backend_id = connect(label_studio_api, backend, project).raise_for_status().json()["id"]
    import_tasks(label_studio_api, project, 2)
    bola, lucah = sorted(task["id"] for task in tasks_of(label_studio_api, project))
    opened = label_studio_api.get(f"/api/tasks/{lucah}").raise_for_status().json()
    assert [choices(one) for one in opened["predictions"]] == [["porn"]]
    served_next = label_studio_api.get(f"/api/projects/{project}/next").raise_for_status().json()
    assert served_next["predictions"][0]["model_version"] == backend.version()

    asked = {"task": lucah, "context": {"result": []}}
    answer = label_studio_api.post(f"/api/ml/{backend_id}/interactive-annotating", json=asked).raise_for_status()
    assert choices(answer.json()["data"]) == ["porn"]
    assert bola != lucah


_ALIAS = '<Choice value="Porn" alias="2"/><Choice value="Hate" alias="3"/>'
_TREE = f'<Choice value="Harmful" alias="h">{_ALIAS}</Choice>'


@pytest.mark.parametrize(
    ("control", "sent"),
    [
        (f'<Choices name="c" toName="text">{_ALIAS}</Choices>', {"choices": ["2"]}),
        (f'<Choices name="c" toName="text" allowNested="true">{_TREE}</Choices>', {"choices": [["h", "2"]]}),
        (f'<Taxonomy name="c" toName="text">{_TREE}</Taxonomy>', {"taxonomy": [["h", "2"]]}),
    ],
)
def test_choices_with_an_alias_are_taken_and_shown(
    label_studio_api: httpx.Client, backend: Backend, control: str, sent: dict[str, Any]
) -> None:
    config = f'<View><Text name="text" value="$text"/>{control}</View>'
    fields = {"title": "edited by hand", "label_config": config}
    project = label_studio_api.post("/api/projects/", json=fields).raise_for_status().json()["id"]
    try:
        connect(label_studio_api, backend, project).raise_for_status()
        import_tasks(label_studio_api, project, 2)
        retrieve(label_studio_api, project)
        texts = {task["id"]: task["data"]["text"] for task in tasks_of(label_studio_api, project)}
        stored = {texts[one["task"]]: one["result"] for one in predictions(label_studio_api, project)}
        assert stored["cerita bola nombor 0"] == []
        [region] = stored["cerita lucah nombor 1"]
        assert region["value"] == sent
        lucah = next(number for number, text in texts.items() if "lucah" in text)
        opened = label_studio_api.get(f"/api/tasks/{lucah}").raise_for_status().json()
        assert [one["result"][0]["value"] for one in opened["predictions"]] == [sent]

        # a volunteer who keeps what is ticked says the label
        url = f"/api/tasks/{lucah}/annotations/"
        answered = label_studio_api.post(url, json={"result": [region]}).raise_for_status().json()
        shown = Shown(None, TAXONOMY.version, reading_of(config, TAXONOMY))
        assert read_annotation(answered, taxonomy=TAXONOMY, shown=shown).chosen == {"porn"}
    finally:
        label_studio_api.delete(f"/api/projects/{project}/").raise_for_status()


def test_the_training_button_is_heard(
    label_studio_api: httpx.Client, backend: Backend, project: int, session: Session
) -> None:
    connected = connect(label_studio_api, backend, project).raise_for_status().json()
    label_studio_api.post(f"/api/ml/{connected['id']}/train", json={}).raise_for_status()
    event = session.scalars(select(store.Event).where(store.Event.action == "START_TRAINING")).one()
    assert event.label_studio_project == project
    assert not {"token", "task_data_password"} & set(event.body["project"])
    until(lambda: backend.sent == ["saring.retrain"], "the job is sent")


def test_what_happens_there_is_heard_once_the_webhook_brings_its_secret(
    label_studio_api: httpx.Client, backend: Backend, project: int, session: Session
) -> None:
    connect(label_studio_api, backend, project).raise_for_status()
    [webhook] = label_studio_api.get("/api/webhooks/", params={"project": project}).raise_for_status().json()
    import_tasks(label_studio_api, project, 1)
    # the one that the server makes on its own brings no credentials
    assert session.scalars(select(store.Event)).all() == []
    session.rollback()

    headers = {"headers": {WEBHOOK_HEADER: SECRET}}
    label_studio_api.patch(f"/api/webhooks/{webhook['id']}/", json=headers).raise_for_status()
    [task] = tasks_of(label_studio_api, project)
    url = f"/api/tasks/{task['id']}/annotations/"
    annotation = label_studio_api.post(url, json={"result": []}).raise_for_status().json()["id"]
    label_studio_api.patch(f"/api/annotations/{annotation}/", json={"result": []}).raise_for_status()
    label_studio_api.delete(f"/api/annotations/{annotation}/").raise_for_status()
    label_studio_api.delete(f"/api/tasks/{task['id']}/").raise_for_status()
    label_studio_api.patch(f"/api/projects/{project}/", json={"title": "renamed"}).raise_for_status()
    heard = session.scalars(select(store.Event.action).order_by(store.Event.id)).all()
    assert heard == [
        "ANNOTATION_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "TASKS_DELETED",
        "PROJECT_UPDATED",
    ]
    until(lambda: "saring.pull" in backend.sent, "the job is sent")


def test_a_wrong_password_is_named_when_it_is_connected(
    label_studio_api: httpx.Client, backend: Backend, project: int
) -> None:
    refused = connect(label_studio_api, backend, project, password="wrong")
    assert refused.status_code == 400
    assert "credentials" in refused.text.lower() or "401" in refused.text
