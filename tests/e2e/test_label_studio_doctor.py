"""`saring doctor` and the known traps of Label Studio, each set up in a real one."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.taxonomy import load_taxonomy
from saring.doctor.check import Verdict
from saring.doctor.label_studio import check_accounts
from saring.services import LabelStudioAccess
from sync.project.label_config import label_config
from tests.support.commands import typed

_BARE = '<View><Text name="text" value="$text"/><Choices name="l" toName="text"><Choice value="a"/></Choices></View>'
_CONFIG = _BARE.replace("</View>", '<Choices name="n" toName="text"><Choice value="none of these"/></Choices></View>')


class _Backend(BaseHTTPRequestHandler):
    """As much of an ML backend as Label Studio asks for before it accepts one."""

    def do_GET(self) -> None:
        self._say({"status": "UP", "release": "0.9.0"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say({"model_version": "v1"})

    def _say(self, what: dict[str, str]) -> None:
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def backend() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Backend) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def project(label_studio_api: httpx.Client) -> Iterator[int]:
    """A project like those that Saring sets up, gone afterwards: the doctor looks at all of them."""
    fields = {"title": "looked at", "description": "made by saring: for a test", "label_config": _CONFIG}
    made = label_studio_api.post("/api/projects/", json=fields).raise_for_status().json()
    yield made["id"]
    label_studio_api.delete(f"/api/projects/{made['id']}/").raise_for_status()


def doctor(home: Path, **variables: str) -> dict[str, list[dict[str, str]]]:
    done = typed({"SARING_HOME": str(home)} | variables, "doctor", "--json")
    assert done.stdout, done.stderr
    assert variables.get("LABEL_STUDIO_API_KEY", "no secret") not in done.stdout + done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    for check in json.loads(done.stdout)["checks"]:
        found.setdefault(check["name"], []).append(check)
    return found


def theirs(access: LabelStudioAccess, key: str | None = None) -> dict[str, str]:
    """The shared server, used as one of one's own."""
    return {"LABEL_STUDIO_URL": access.url, "LABEL_STUDIO_API_KEY": key or access.api_key}


@contextmanager
def personal_token(access: LabelStudioAccess) -> Iterator[tuple[str, httpx.Client]]:
    with httpx.Client(base_url=access.url, timeout=60, trust_env=False) as browser:
        browser.get("/user/login/")
        form = {"email": access.email, "password": access.password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        browser.post("/user/login/", data=form, headers={"Referer": access.url})
        browser.headers.update({"X-CSRFToken": browser.cookies["csrftoken"], "Referer": access.url})
        token = browser.post("/api/token/").raise_for_status().json()["token"]
        try:
            yield token, browser
        finally:
            browser.post("/api/token/blacklist/", json={"refresh": token})


def test_before_the_first_start_it_is_only_said_to_be_missing(new_home: Path) -> None:
    found = doctor(new_home / "home", SARING_LABEL_STUDIO_ENV=str(new_home / "env"))
    assert found["Label Studio program"][0]["verdict"] == "warn"
    assert "saring up" in found["Label Studio program"][0]["mend"]
    assert found["Label Studio server"][0]["verdict"] == "warn"
    assert "Label Studio token" not in found


def test_a_server_that_is_well(new_home: Path, label_studio: LabelStudioAccess) -> None:
    found = doctor(new_home, **theirs(label_studio))
    assert [found[name][0]["verdict"] for name in ("Label Studio token", "Label Studio version")] == ["ok", "ok"]


def test_a_wrong_token(new_home: Path, label_studio: LabelStudioAccess) -> None:
    (found,) = doctor(new_home, **theirs(label_studio, "0" * 40))["Label Studio token"]
    assert found["verdict"] == "fail"
    assert "Invalid token" in found["found"]
    assert "LABEL_STUDIO_API_KEY" in found["mend"]


def test_legacy_tokens_that_are_turned_off(new_home: Path, label_studio: LabelStudioAccess) -> None:
    with personal_token(label_studio) as (_, browser):
        switches = {"legacy_api_tokens_enabled": False, "api_tokens_enabled": True}
        browser.post("/api/jwt/settings", json=switches).raise_for_status()
        try:
            (found,) = doctor(new_home, **theirs(label_studio))["Label Studio token"]
        finally:
            browser.post("/api/jwt/settings", json=switches | {"legacy_api_tokens_enabled": True}).raise_for_status()
    assert found["verdict"] == "fail"
    assert "turned off" in found["found"]
    assert "Access Token Settings" in found["mend"]


def test_a_personal_access_token_good_and_revoked(new_home: Path, label_studio: LabelStudioAccess) -> None:
    with personal_token(label_studio) as (token, _):
        (found,) = doctor(new_home, **theirs(label_studio, token))["Label Studio token"]
        assert (found["verdict"], found["found"]) == ("ok", "a personal access token")
    (found,) = doctor(new_home, **theirs(label_studio, token))["Label Studio token"]
    assert found["verdict"] == "fail"
    assert "blacklisted" in found["found"]


def test_an_address_where_nobody_or_somebody_else_answers(
    new_home: Path, label_studio: LabelStudioAccess, backend: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        address = {"LABEL_STUDIO_URL": nobody, "LABEL_STUDIO_API_KEY": "no-such-token"}
        (found,) = doctor(new_home, **address)["Label Studio server"]
    assert found["verdict"] == "fail"
    assert "does not answer" in found["found"]
    for wrong in (backend, f"{label_studio.url}/no/such/path"):
        (found,) = doctor(new_home, **theirs(label_studio) | {"LABEL_STUDIO_URL": wrong})["Label Studio server"]
        assert found["verdict"] == "fail"
        assert "its path included" in found["mend"]


def test_an_address_without_a_token(new_home: Path, label_studio: LabelStudioAccess) -> None:
    (found,) = doctor(new_home, LABEL_STUDIO_URL=label_studio.url)["Label Studio"]
    assert found["verdict"] == "fail"
    assert "LABEL_STUDIO_API_KEY is not" in found["found"]


def test_a_private_backend_address(
    new_home: Path, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, backend: str, project: int
) -> None:
    (found,) = doctor(new_home, **theirs(label_studio), SARING_BACKEND_URL=backend)["ML backend address"]
    assert found["verdict"] == "warn"
    assert "USE_DEFAULT_BANNED_SUBNETS=0" in found["mend"]
    # one that is connected is evidently not refused
    label_studio_api.post("/api/ml", json={"url": backend, "project": project, "title": "one"}).raise_for_status()
    (found,) = doctor(new_home, **theirs(label_studio), SARING_BACKEND_URL=backend)["ML backend address"]
    assert found["verdict"] == "ok"


def test_two_backends_and_live_answers(
    new_home: Path, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, backend: str, project: int
) -> None:
    for title in ("one", "two"):
        label_studio_api.post("/api/ml", json={"url": backend, "project": project, "title": title}).raise_for_status()
    found = doctor(new_home, **theirs(label_studio))[f"Label Studio project {project}"]
    assert {check["verdict"] for check in found} == {"fail"}
    assert any("2 ML backends: one, two" in check["found"] for check in found)
    assert any("live answers" in check["found"] and "saring sync setup" in check["mend"] for check in found)


def test_predictions_that_nobody_sees(
    new_home: Path, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, project: int
) -> None:
    imported = label_studio_api.post(f"/api/projects/{project}/import?return_task_ids=true", json=[{"text": "apa"}])
    choice = {"from_name": "l", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}
    prediction = {"task": imported.json()["task_ids"][0], "result": [choice], "score": 0.5, "model_version": "v1"}
    label_studio_api.post(f"/api/projects/{project}/import/predictions", json=[prediction]).raise_for_status()
    (found,) = doctor(new_home, **theirs(label_studio))[f"Label Studio project {project}"]
    assert "none is shown" in found["found"]
    label_studio_api.patch(f"/api/projects/{project}/", json={"model_version": "v1"}).raise_for_status()
    assert f"Label Studio project {project}" not in doctor(new_home, **theirs(label_studio))


def test_the_webhook_of_a_backend_that_is_gone(
    new_home: Path, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, backend: str, project: int
) -> None:
    made = label_studio_api.post("/api/ml", json={"url": backend, "project": project, "title": "one"}).json()
    label_studio_api.delete(f"/api/ml/{made['id']}").raise_for_status()
    (found,) = doctor(new_home, **theirs(label_studio))[f"Label Studio project {project}"]
    assert found["verdict"] == "warn"
    assert backend in found["found"]
    assert "Webhooks" in found["mend"]
    # one of our own backend, wherever it is, is as it should be
    assert f"Label Studio project {project}" not in doctor(
        new_home, **theirs(label_studio), SARING_BACKEND_URL=backend.replace("127.0.0.1", "localhost")
    )


def test_a_page_on_which_a_text_without_labels_cannot_be_answered(
    new_home: Path, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, project: int
) -> None:
    label_studio_api.patch(f"/api/projects/{project}/", json={"label_config": _BARE}).raise_for_status()
    found = doctor(new_home, **theirs(label_studio))[f"Label Studio project {project}"]
    assert any("no label fits cannot be answered" in check["found"] for check in found)
    config = label_config(load_taxonomy())
    label_studio_api.patch(f"/api/projects/{project}/", json={"label_config": config}).raise_for_status()
    assert f"Label Studio project {project}" not in doctor(new_home, **theirs(label_studio))


def test_a_server_of_ones_own_is_open_to_every_account_and_the_embedded_one_is_not(
    new_home: Path, label_studio: LabelStudioAccess
) -> None:
    (found,) = doctor(new_home, **theirs(label_studio))["Label Studio accounts"]
    assert found["verdict"] == "warn"
    assert "backup" in found["mend"] and "proxy" in found["mend"]
    assert check_accounts(embedded=True, maintainers=("aina@example.org",)).verdict is Verdict.OK
    assert check_accounts(embedded=True, maintainers=("*",)).verdict is Verdict.WARN
