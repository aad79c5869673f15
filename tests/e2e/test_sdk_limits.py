"""Where Label Studio's SDK does not keep a promise of ours, shown by the SDK as it comes, and what we do instead."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from label_studio_sdk.client import LabelStudio as Sdk
from label_studio_sdk.core import http_client
from label_studio_sdk.types import ViewDataRequestRequest

from pipeline.errors import LabelStudioMissing, LabelStudioUnavailable, UncertainOutcome
from saring.services import LabelStudioAccess
from sync.api import client as ours
from sync.api.client import LabelStudio, identity
from tests.support.label_studio import personal_token
from tests.support.proxies import Answer, Fault, FaultyProxy, Front, faulty_proxy, front

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = '<View><Text name="text" value="$text"/></View>'
_MANY = 1_000


@pytest.fixture
def before(label_studio: LabelStudioAccess) -> Iterator[Front]:
    with front(label_studio.url) as made:
        yield made


@pytest.fixture
def proxy(label_studio: LabelStudioAccess) -> Iterator[FaultyProxy]:
    with faulty_proxy(label_studio.url) as made:
        yield made


@pytest.fixture
def client(proxy: FaultyProxy, label_studio: LabelStudioAccess) -> Iterator[LabelStudio]:
    with LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as made:
        yield made


@pytest.fixture
def sdk(proxy: FaultyProxy, label_studio: LabelStudioAccess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk]:
    """The SDK as it comes, but for its waits."""
    monkeypatch.setattr(http_client, "_retry_timeout_from_retries", lambda retries: 0)
    with httpx.Client(timeout=60, trust_env=False) as plain:
        yield Sdk(base_url=proxy.url, api_key=label_studio.api_key, httpx_client=plain)


@pytest.fixture
def project(client: LabelStudio) -> Iterator[int]:
    number, _ = identity(client.create_project(title="limits", label_config=_CONFIG))
    yield number
    client.delete_project(number)


def titled(client: LabelStudio, title: str) -> int:
    return sum(there.title == title for there in client.projects())


def test_an_answer_that_is_lost_makes_three_of_what_the_sdk_was_asked_for(
    proxy: FaultyProxy, sdk: Sdk, client: LabelStudio
) -> None:
    proxy.fail(Fault.LOST_ANSWER, "POST", "/api/projects/", times=3)
    with pytest.raises(httpx.RemoteProtocolError):
        sdk.projects.create(title="by the SDK")
    assert titled(client, "by the SDK") == 3

    proxy.fail(Fault.LOST_ANSWER, "POST", "/api/projects/", times=3)
    with pytest.raises(UncertainOutcome):
        client.create_project(title="by us")
    assert titled(client, "by us") == 1


def test_to_the_sdk_a_list_that_breaks_off_is_one_that_ends(
    proxy: FaultyProxy, sdk: Sdk, client: LabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {identity(client.create_project(title="one of three"))[0] for _ in range(3)}
    proxy.fail(Fault.NOT_FOUND, "GET", "/api/projects/?page=2")
    assert len(list(sdk.projects.list(page_size=2))) == 2

    monkeypatch.setattr(ours, "_PROJECTS", 2)
    assert made <= {there.id for there in client.projects()}
    proxy.fail(Fault.NOT_FOUND, "GET", "/api/projects/?page=2")
    with pytest.raises(LabelStudioMissing):
        client.projects()


def test_the_sdk_reads_every_list_to_a_404(proxy: FaultyProxy, client: LabelStudio) -> None:
    there = client.projects()
    with pytest.raises(LabelStudioMissing):
        list(client._projects.list(page_size=len(there) + 1))


def test_a_list_that_moves_while_the_sdk_reads_it_lacks_a_task(
    sdk: Sdk, client: LabelStudio, label_studio_api: httpx.Client, project: int
) -> None:
    tasks = client.import_tasks(project, [{"data": {"text": f"ayat {i}"}} for i in range(4)])
    order = '{"ordering": ["tasks:updated_at"]}'

    def change(task: int) -> None:
        label_studio_api.post(f"/api/tasks/{task}/annotations/", json={"result": []}).raise_for_status()

    for task in tasks:
        # one after the other, so that the order is known
        change(task)
    read = []
    for task in sdk.tasks.list(project=project, page_size=2, query=order):
        read.append(task.id)
        if len(read) == 1:
            change(tasks[0])
    assert tasks[2] not in read

    walked: list[int] = []
    for page in client.changed_tasks(project, None, page_size=2):
        if not walked:
            change(page[-1]["id"])
        walked += [task["id"] for task in page]
    assert set(walked) == set(tasks)


def test_the_sdk_asks_for_every_field_of_a_task(before: Front, label_studio: LabelStudioAccess, project: int) -> None:
    with httpx.Client(timeout=60, trust_env=False) as plain:
        list(Sdk(base_url=before.url, api_key=label_studio.api_key, httpx_client=plain).tasks.list(project=project))
    assert all("fields=all" in request and "include=" not in request for request in before.seen)
    before.seen.clear()
    with LabelStudio(before.url, label_studio.api_key) as client:
        list(client.changed_tasks(project, None))
    assert all("include=" in request for request in before.seen)


def calls_of_python(ask: Callable[[], object]) -> int:
    """Functions of Python that are called: a measure of work that is the same on every machine."""
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        ask()
    finally:
        sys.setprofile(None)
    return counted


def test_the_sdk_makes_an_object_of_each_task(client: LabelStudio, project: int) -> None:
    client.import_tasks(project, [{"data": {"text": f"ayat {i}"}} for i in range(_MANY)])
    with_objects = calls_of_python(lambda: client.tasks.list(project=project, page_size=_MANY, include="id,data"))
    without = calls_of_python(lambda: client.marked_tasks(project, ""))
    assert with_objects > 10 * _MANY > 4 * without


def test_the_sdk_loses_the_path_of_an_address_when_it_renews_a_token(label_studio: LabelStudioAccess) -> None:
    with (
        front(label_studio.url, "/label") as made,
        personal_token(label_studio) as token,
        httpx.Client(timeout=60, trust_env=False) as plain,
    ):
        with pytest.raises(ValueError, match="Expecting value"):
            Sdk(base_url=f"{made.url}/label", api_key=token, httpx_client=plain).users.whoami()
        assert made.seen == ["POST /api/token/refresh/"]
        with LabelStudio(f"{made.url}/label", token) as client:
            assert client.whoami().email == label_studio.email


def test_the_sdk_takes_the_token_of_the_environment_and_we_do_not(
    before: Front, label_studio: LabelStudioAccess
) -> None:
    said = run_with_another_token(
        "from label_studio_sdk.client import LabelStudio; print(LabelStudio(base_url=url).users.whoami())",
        before.url,
    )
    assert "'status_code': 401" in said or "status_code: 401" in said
    said = run_with_another_token(
        "from sync.api.client import LabelStudio; print(LabelStudio(url, key).whoami().email)",
        before.url,
        label_studio.api_key,
    )
    assert said.split() == [label_studio.email]


def run_with_another_token(code: str, *words: str) -> str:
    """What a program says that has a token of somebody else in its environment."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; url, key = [*sys.argv[1:], ''][:2]; {code}", *words],
        env={"PYTHONPATH": str(_ROOT), "LABEL_STUDIO_API_KEY": "0" * 40},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_to_the_sdk_anything_is_a_project(before: Front, label_studio: LabelStudioAccess) -> None:
    with httpx.Client(timeout=60, trust_env=False) as plain:
        sdk = Sdk(base_url=before.url, api_key=label_studio.api_key, httpx_client=plain)
        before.says("GET /api/projects/", Answer(200, b"{}"), Answer(200, b"[]"))
        assert sdk.projects.get(5).id is None
        with pytest.raises(TypeError):
            sdk.projects.get(5)
    before.says("GET /api/projects/", Answer(200, b"{}"), Answer(200, b"[]"))
    with LabelStudio(before.url, label_studio.api_key) as client:
        for _ in range(2):
            with pytest.raises(LabelStudioUnavailable, match="project 5"):
                client.project(5)


def test_a_field_that_no_project_has_is_no_fault_of_the_server(client: LabelStudio, proxy: FaultyProxy) -> None:
    for ask in (lambda: client.create_project(titel="never"), lambda: client.update_project(1, titel="never")):
        with pytest.raises(TypeError, match="titel"):
            ask()
    assert proxy.seen == []


@pytest.mark.parametrize("body", [b"[]", b"null", b"{}", b'"made"', b""])
def test_what_was_made_is_not_known_where_the_answer_is_something_else(
    before: Front, label_studio: LabelStudioAccess, body: bytes
) -> None:
    before.says("POST /api/projects/", *[Answer(201, body)] * 3)
    with LabelStudio(before.url, label_studio.api_key) as client:
        creating: list[Callable[[], object]] = [
            lambda: client.create_project(title="perhaps"),
            lambda: client.import_tasks(5, [{"data": {"text": "ayat"}}]),
            lambda: client.import_predictions(5, [{"task": 1, "result": []}]),
        ]
        for create in creating:
            with pytest.raises(UncertainOutcome):
                create()


#: every call of the SDK that `sync` makes
_CALLS: dict[str, Callable[[LabelStudio], object]] = {
    "users.whoami": lambda client: client._users.whoami(),
    "users.list": lambda client: client._users.list(),
    "versions.get": lambda client: client._versions.get(),
    "projects.get": lambda client: client._projects.get(1),
    "projects.list": lambda client: client._projects.list(),
    "projects.create": lambda client: client._projects.create(title="never"),
    "projects.update": lambda client: client._projects.update(1, title="never"),
    "projects.delete": lambda client: client._projects.delete(1),
    "projects.import_tasks": lambda client: client._projects.import_tasks(1, request=[]),
    "projects.import_predictions": lambda client: client._projects.import_predictions(1, request=[]),
    "tasks.get": lambda client: client.tasks.get("1"),
    "tasks.update": lambda client: client.tasks.update("1", overlap=2),
    "tasks.delete": lambda client: client.tasks.delete("1"),
    "webhooks.list": lambda client: client.webhooks.list(),
    "webhooks.create": lambda client: client.webhooks.create(url="http://127.0.0.1/"),
    "webhooks.update": lambda client: client.webhooks.update(1, is_active=False),
    "webhooks.delete": lambda client: client.webhooks.delete(1),
    "ml.list": lambda client: client.ml.list(),
    "ml.create": lambda client: client.ml.create(project=1, url="http://127.0.0.1/"),
    "ml.update": lambda client: client.ml.update(1, title="never"),
    "ml.delete": lambda client: client.ml.delete(1),
    "views.list": lambda client: client.views.list(),
    "views.create": lambda client: client.views.create(data=ViewDataRequestRequest()),
    "views.update": lambda client: client.views.update("1", data=ViewDataRequestRequest()),
}


def test_every_call_of_the_sdk_is_among_those_that_are_tried() -> None:
    made = {
        f"{part}.{name}"
        for file in (_ROOT / "sync").rglob("*.py")
        for part, name in re.findall(
            r"(?:client\.|self\._)(projects|users|versions|tasks|webhooks|ml|views)\.(\w+)", file.read_text()
        )
    }
    assert made == set(_CALLS)


@pytest.mark.parametrize("name", _CALLS)
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.NEVER_ARRIVES, Fault.TOO_MANY])
def test_no_call_of_the_sdk_is_repeated_but_by_us(
    proxy: FaultyProxy, client: LabelStudio, name: str, fault: Fault
) -> None:
    for method in ("GET", "POST", "PATCH", "DELETE"):
        proxy.fail(fault, method, "/", times=100)
    with pytest.raises((LabelStudioUnavailable, UncertainOutcome)) as caught:
        _CALLS[name](client)
    [method] = {request.split()[0] for request in proxy.seen}
    creates = name.endswith(("create", "import_tasks", "import_predictions"))
    assert (method == "POST") == creates == isinstance(caught.value, UncertainOutcome)
    assert len(proxy.seen) == (1 if creates else 4)


@pytest.mark.parametrize("name", _CALLS)
def test_the_sdk_without_our_client_repeats_nothing_either(
    proxy: FaultyProxy, client: LabelStudio, label_studio: LabelStudioAccess, name: str
) -> None:
    """Should an error get by our client, the SDK would not ask again."""
    for method in ("GET", "POST", "PATCH", "DELETE"):
        proxy.fail(Fault.UNAVAILABLE, method, "/", times=100)
    with httpx.Client(timeout=60, trust_env=False) as plain:
        client._sdk._client_wrapper.httpx_client.httpx_client = plain
        with pytest.raises(Exception, match="503"):
            _CALLS[name](client)
    assert len(proxy.seen) == 1


def test_what_we_use_of_the_sdk_is_what_its_own_client_is_made_of(client: LabelStudio) -> None:
    sdk: Any = client._sdk
    assert isinstance(sdk, Sdk.__mro__[1])
    assert sdk._client_wrapper.get_max_retries() == 0
