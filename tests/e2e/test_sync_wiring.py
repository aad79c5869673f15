"""The ML backend and the webhook of a project in a real Label Studio: one of each is ours, others are let be."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.backend_credentials import WEBHOOK_HEADER
from pipeline.store import open_session
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.project.projects import SetupReport
from sync.project.wiring import ACTIONS, BACKEND_TITLE
from tests.support.backend import Backend, served
from tests.support.label_studio import annotate, credentials, make_project
from tests.support.proxies import Fault, faulty_proxy
from tests.support.waiting import until

Json = dict[str, Any]


@pytest.fixture
def client(label_studio: LabelStudioAccess) -> Iterator[LabelStudio]:
    with LabelStudio(label_studio.url, label_studio.api_key, sleep=lambda _: None) as found:
        yield found


@pytest.fixture
def backend(engine: Engine) -> Iterator[Backend]:
    with served(engine, credentials=credentials(engine)) as running:
        yield running


def set_up(engine: Engine, client: LabelStudio, url: str) -> SetupReport:
    return make_project(engine, client, backend_url=url, title=None)


def hooks(api: httpx.Client, project: int) -> list[Json]:
    found: list[Json] = api.get("/api/webhooks/", params={"project": project}).raise_for_status().json()
    return sorted(found, key=lambda one: int(one["id"]))


def backends(api: httpx.Client, project: int) -> list[Json]:
    found: list[Json] = api.get("/api/ml", params={"project": project}).raise_for_status().json()
    return sorted(found, key=lambda one: int(one["id"]))


def connect(api: httpx.Client, engine: Engine, project: int, url: str, title: str) -> int:
    """Connect an ML backend by hand."""
    said = credentials(engine)
    fields = {"url": url, "project": project, "title": title, "auth_method": "BASIC_AUTH"}
    fields |= {"basic_auth_user": said.user, "basic_auth_pass": said.password}
    return int(api.post("/api/ml", json=fields).raise_for_status().json()["id"])


def unused_address() -> str:
    """Where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


def test_both_are_made_with_their_secrets_and_a_second_setup_only_looks(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, backend: Backend
) -> None:
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = set_up(engine, client, backend.url + "/")
        assert made.backend is True
        assert made.warnings == ()
        [hook] = hooks(label_studio_api, made.label_studio_id)
        assert hook["url"] == f"{backend.url}/webhook"
        assert hook["headers"] == {WEBHOOK_HEADER: credentials(engine).webhook_secret}
        assert sorted(hook["actions"]) == sorted(ACTIONS)
        [there] = backends(label_studio_api, made.label_studio_id)
        assert (there["url"], there["title"], there["state"]) == (backend.url, BACKEND_TITLE, "CO")
        # people wait for nothing: what is shown is what was written ahead
        assert not label_studio_api.get(f"/api/projects/{made.label_studio_id}/").json()["model_version"]

        proxy.seen.clear()
        again = set_up(engine, client, backend.url)
        assert (again.changed, again.warnings, again.others, again.backend) == ((), (), (), True)
        assert {one.split()[0] for one in proxy.seen} == {"GET"}
        assert hooks(label_studio_api, made.label_studio_id) == [hook]
        assert [one["id"] for one in backends(label_studio_api, made.label_studio_id)] == [there["id"]]


def test_what_a_volunteer_does_is_heard(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, backend: Backend, session: Session
) -> None:
    made = set_up(engine, client, backend.url)
    path = f"/api/projects/{made.label_studio_id}/import"
    [task] = label_studio_api.post(path, params={"return_task_ids": "true"}, json=[{"text": "ayat"}]).json()["task_ids"]
    annotate(label_studio_api, task, ["hate"])
    heard = session.scalars(select(store.Event)).all()
    assert [(one.action, one.label_studio_project) for one in heard] == [("ANNOTATION_CREATED", made.label_studio_id)]
    assert credentials(engine).webhook_secret not in str(heard[0].body)
    until(lambda: backend.sent == ["saring.pull"], "the job is sent")


def test_what_somebody_else_connected_is_named_and_left_alone(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, backend: Backend
) -> None:
    made = make_project(engine, client)
    project = made.label_studio_id
    with served(engine, credentials=credentials(engine)) as strange:
        theirs = connect(label_studio_api, engine, project, strange.url, "Theirs")
        secret = {"url": "http://127.0.0.1:9/hook?key=hidden", "project": project, "headers": {"X-Key": "hidden"}}
        label_studio_api.post("/api/webhooks/", json=secret).raise_for_status()
        hooks_before, [backend_before] = hooks(label_studio_api, project), backends(label_studio_api, project)

        done = set_up(engine, client, backend.url)
        assert done.backend is True
        assert f"ML backend 'Theirs' at {strange.url}" in done.others
        assert any(one.endswith("to http://127.0.0.1:9/hook") for one in done.others)
        assert "hidden" not in str(done)
        assert any("only a project's first ML backend" in one and "'Theirs'" in one for one in done.warnings)
        assert hooks(label_studio_api, project)[: len(hooks_before)] == hooks_before
        first, second = backends(label_studio_api, project)
        assert (first["id"], first["title"], first["url"]) == (theirs, "Theirs", backend_before["url"])
        assert (second["title"], second["url"]) == (BACKEND_TITLE, backend.url)

        again = set_up(engine, client, backend.url)
        assert again.changed == ()
        assert again.others == done.others


def test_doubled_ones_are_removed_and_the_right_ones_stay(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, backend: Backend
) -> None:
    made = set_up(engine, client, backend.url)
    project = made.label_studio_id
    [right], [hook] = backends(label_studio_api, project), hooks(label_studio_api, project)
    with served(engine, credentials=credentials(engine)) as moved:
        # which makes a webhook of its own, too
        connect(label_studio_api, engine, project, moved.url, BACKEND_TITLE)
        connect(label_studio_api, engine, project, backend.url, "another name")
        label_studio_api.post("/api/webhooks/", json={"url": hook["url"], "project": project}).raise_for_status()
        assert len(hooks(label_studio_api, project)) == 3

        done = set_up(engine, client, backend.url)
        assert done.changed.count("doubled ML backend removed") == 2
        assert done.changed.count("doubled webhook removed") == 2
        assert [one["id"] for one in backends(label_studio_api, project)] == [right["id"]]
        assert hooks(label_studio_api, project) == [hook]
        assert set_up(engine, client, backend.url).changed == ()


def test_what_was_changed_by_hand_is_put_right(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, backend: Backend
) -> None:
    made = set_up(engine, client, backend.url)
    project = made.label_studio_id
    [hook], [there] = hooks(label_studio_api, project), backends(label_studio_api, project)
    broken = {"headers": {}, "actions": ["ANNOTATION_CREATED"], "is_active": False}
    label_studio_api.patch(f"/api/webhooks/{hook['id']}/", json=broken).raise_for_status()
    with served(engine, credentials=credentials(engine)) as moved:
        done = set_up(engine, client, moved.url)
        assert "webhook repaired" in done.changed
        assert "ML backend repaired" in done.changed
        [mended], [now] = hooks(label_studio_api, project), backends(label_studio_api, project)
        assert (mended["id"], mended["url"], mended["is_active"]) == (hook["id"], f"{moved.url}/webhook", True)
        assert mended["headers"] == {WEBHOOK_HEADER: credentials(engine).webhook_secret}
        assert sorted(mended["actions"]) == sorted(ACTIONS)
        assert (now["id"], now["url"]) == (there["id"], moved.url)
        assert set_up(engine, client, moved.url).changed == ()


def test_a_backend_that_is_down_is_a_warning_until_it_is_up(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, backend: Backend
) -> None:
    down = unused_address()
    made = set_up(engine, client, down)
    assert (made.created, made.backend) == (True, False)
    assert any(down in one and "saring up" in one for one in made.warnings)
    set_up(engine, client, down)
    assert backends(label_studio_api, made.label_studio_id) == []
    assert len(hooks(label_studio_api, made.label_studio_id)) == 1

    done = set_up(engine, client, backend.url)
    assert (done.backend, done.warnings) == (True, ())
    assert len(backends(label_studio_api, made.label_studio_id)) == 1
    assert [one["url"] for one in hooks(label_studio_api, made.label_studio_id)] == [f"{backend.url}/webhook"]


def test_a_backend_with_other_credentials_is_a_warning(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    with served(engine) as strict:
        made = set_up(engine, client, strict.url)
        assert made.backend is False
        assert any(strict.url in one for one in made.warnings)
        assert backends(label_studio_api, made.label_studio_id) == []


def test_an_address_that_label_studio_refuses_is_a_warning_that_says_what_to_set(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    for _ in range(2):
        done = set_up(engine, client, "http://10.0.0.1:9")
        assert done.backend is False
        refused = [one for one in done.warnings if "refuses private addresses such as http://10.0.0.1:9" in one]
        assert len(refused) == 2
        assert all("SARING_BACKEND_URL" in one for one in refused)
        assert backends(label_studio_api, done.label_studio_id) == []
        assert hooks(label_studio_api, done.label_studio_id) == []


@pytest.mark.parametrize("path", ["/api/webhooks/", "/api/ml"])
@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.NEVER_ARRIVES])
def test_one_whose_making_is_uncertain_is_there_once_after_the_next_setup(
    engine: Engine,
    label_studio: LabelStudioAccess,
    label_studio_api: httpx.Client,
    backend: Backend,
    path: str,
    fault: Fault,
) -> None:
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        proxy.fail(fault, "POST", path)
        made = set_up(engine, client, backend.url)
        assert any("not known whether" in one and "saring sync setup" in one for one in made.warnings)
        # whatever became of it, nobody's page waits for the backend
        assert not client.project(made.label_studio_id).model_version
        again = set_up(engine, client, backend.url)
        assert (again.backend, again.warnings) == (True, ())
        assert len(backends(label_studio_api, made.label_studio_id)) == 1
        [hook] = hooks(label_studio_api, made.label_studio_id)
        assert hook["headers"] == {WEBHOOK_HEADER: credentials(engine).webhook_secret}


def test_without_a_backend_nothing_is_wired_or_unwired(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, backend: Backend
) -> None:
    made = make_project(engine, client)
    assert made.backend is None
    assert hooks(label_studio_api, made.label_studio_id) == []
    set_up(engine, client, backend.url)
    without = make_project(engine, client, title=None)
    assert (without.backend, without.changed) == (None, ())
    assert len(backends(label_studio_api, made.label_studio_id)) == 1
    with open_session(engine) as session:
        assert len(session.scalars(select(store.Project)).all()) == 1
