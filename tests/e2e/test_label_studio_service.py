"""The embedded Label Studio, from a user's side: it starts in seconds, keeps its address, its owner and its data."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import psutil
import pytest
from pydantic import SecretStr

from pipeline.errors import ServiceError
from pipeline.settings import Settings
from saring.services import (
    LabelStudioAccess,
    ServiceStatus,
    ensure_label_studio,
    label_studio_access,
    loop_status,
    owner_file,
    stop_services,
)
from tests.support.commands import typed
from tests.support.proxies import QuietHandler, serving

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = '<View><Text name="text" value="$text"/><Choices name="l" toName="text"><Choice value="a"/></Choices></View>'
_LABEL_STUDIO_ONLY = ("--without", "backend", "--without", "worker", "--without", "keeper")


@pytest.fixture
def settings(new_home: Path, label_studio: LabelStudioAccess) -> Settings:
    """A home of its own; the shared server's fixture has seen to it that Label Studio is installed."""
    assert label_studio.embedded
    return Settings(home=new_home)


@pytest.fixture(scope="module")
def standing(label_studio: LabelStudioAccess) -> Iterator[Settings]:
    """A home that several tests share, one after another: a start takes seconds, and each leaves it as it should be."""
    assert label_studio.embedded
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    yield Settings(home=folder)
    stop_services(Settings(home=folder))
    shutil.rmtree(folder)


def status(settings: Settings) -> ServiceStatus:
    return loop_status(settings)[0]


def client(access: LabelStudioAccess) -> httpx.Client:
    headers = {"Authorization": f"Token {access.api_key}"}
    return httpx.Client(base_url=access.url, headers=headers, timeout=60, trust_env=False)


@contextmanager
def log_in(access: LabelStudioAccess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=access.url, timeout=60, trust_env=False) as browser:
        browser.get("/user/login/")
        form = {"email": access.email, "password": access.password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post("/user/login/", data=form, headers={"Referer": access.url}).status_code == 302
        browser.headers.update({"X-CSRFToken": browser.cookies["csrftoken"], "Referer": access.url})
        yield browser


def turn_legacy_tokens_off(access: LabelStudioAccess) -> None:
    with log_in(access) as browser:
        switches = {"legacy_api_tokens_enabled": False, "api_tokens_enabled": True}
        browser.post("/api/jwt/settings", json=switches).raise_for_status()


def saring(settings: Settings, *words: str) -> CompletedProcess[str]:
    return typed({"SARING_HOME": str(settings.home), "COLUMNS": "200"}, *words)


def checks(settings: Settings) -> dict[str, dict[str, str]]:
    found = json.loads(saring(settings, "doctor", "--json").stdout)["checks"]
    return {check["name"]: check for check in found}


def kill(pid: int | None) -> None:
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    until = time.monotonic() + 60
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "it did not end in time"
        time.sleep(0.005)


def up(settings: Settings) -> dict[str, Any]:
    # as a process of its own, which the server is to outlive
    environment = os.environ | {"SARING_HOME": str(settings.home), "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-m", "saring", "up", *_LABEL_STUDIO_ONLY, "--json"]
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_from_nothing_to_a_log_in_and_back(settings: Settings) -> None:
    begun = up(settings)
    access = label_studio_access(settings)
    assert access is not None
    kept = owner_file(settings)
    assert begun["label_studio"] == {"url": access.url, "email": access.email, "password_file": str(kept)}
    assert {one["name"]: one["state"] for one in begun["services"]}["Label Studio"] == "ready"
    with log_in(access) as browser:
        assert browser.get("/api/current-user/whoami").json()["email"] == access.email

    # nobody else reads the owner's secrets, or sees them among the processes
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (kept.parent / ".env").stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o077 == 0
    pid = status(settings).pid
    assert pid is not None
    assert access.password is not None
    shown = " ".join(psutil.Process(pid).cmdline()) + json.dumps(begun) + repr(access)
    assert access.password not in shown
    assert access.api_key not in shown
    said = (settings.home / "services" / "label-studio.log").read_text()
    assert access.password not in said
    assert access.api_key not in said

    again = up(settings)
    assert again["label_studio"] == begun["label_studio"]
    assert status(settings).pid == pid
    assert label_studio_access(settings) == access

    shown = saring(settings, "up", *_LABEL_STUDIO_ONLY).stdout
    assert f"Label Studio: {access.url}" in shown
    assert f"log in as {access.email}; the password is in {kept}" in shown
    assert access.url in saring(settings, "status").stdout

    assert saring(settings, "down").stdout.startswith("stopped Label Studio")
    assert status(settings).state == "stopped"


def test_two_homes_have_nothing_in_common(standing: Settings, label_studio: LabelStudioAccess) -> None:
    access = ensure_label_studio(standing)
    assert access.url != label_studio.url
    assert access.password != label_studio.password
    with client(access) as here, client(label_studio) as there:
        assert here.get("/api/projects/").json()["count"] == 0
        swapped = {"Authorization": there.headers["Authorization"]}
        assert here.get("/api/projects/", headers=swapped).status_code == 401


def test_a_killed_server_comes_back_with_everything(standing: Settings) -> None:
    access = ensure_label_studio(standing)
    with client(access) as api, log_in(access) as browser:
        made = api.post("/api/projects/", json={"title": "kept", "label_config": _CONFIG}).raise_for_status().json()
        personal = browser.post("/api/token/").raise_for_status().json()["token"]
        kill(status(standing).pid)
        assert ensure_label_studio(standing) == access
        assert api.get(f"/api/projects/{made['id']}/").json()["title"] == "kept"
        # its secret key is the same too: what it signed is still good
        assert api.post("/api/token/refresh/", json={"refresh": personal}).status_code == 200
        api.delete(f"/api/projects/{made['id']}/").raise_for_status()


def test_a_port_that_another_program_took_is_named(standing: Settings) -> None:
    access = ensure_label_studio(standing)
    stop_services(standing)
    port = int(access.url.rpartition(":")[2])
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        with pytest.raises(ServiceError, match=f"port {port} of Label Studio is taken by .*{os.getpid()}"):
            ensure_label_studio(standing)
        found = checks(standing)["Label Studio port"]
        assert found["verdict"] == "fail"
        assert str(os.getpid()) in found["found"]
        assert "end that" in found["mend"]
    assert ensure_label_studio(standing) == access


def test_tokens_that_were_turned_off_are_found_and_put_in_force_again(standing: Settings) -> None:
    access = ensure_label_studio(standing)
    turn_legacy_tokens_off(access)
    with pytest.raises(ServiceError, match=r"no longer takes its owner's token .*legacy.*saring down"):
        ensure_label_studio(standing)
    found = checks(standing)["Label Studio server"]
    assert found["verdict"] == "fail"
    assert "saring down" in found["found"]
    stop_services(standing)
    assert ensure_label_studio(standing) == access
    assert checks(standing)["Label Studio token"]["verdict"] == "ok"


def test_an_owner_file_that_was_lost_is_made_anew(standing: Settings) -> None:
    before = ensure_label_studio(standing)
    stop_services(standing)
    owner_file(standing).unlink()
    access = ensure_label_studio(standing)
    assert access.email == before.email
    assert access.password != before.password
    with log_in(access) as browser:
        assert browser.get("/api/current-user/whoami").json()["email"] == access.email


def test_strangers_make_no_account(label_studio: LabelStudioAccess) -> None:
    with httpx.Client(base_url=label_studio.url, timeout=60, trust_env=False) as stranger:
        stranger.get("/user/signup/")
        form = {
            "email": "stranger@example.com",
            "password": "long-enough-1",
            "csrfmiddlewaretoken": stranger.cookies["csrftoken"],
        }
        done = stranger.post("/user/signup/", data=form, headers={"Referer": label_studio.url})
        assert done.status_code == 403


@pytest.mark.parametrize(
    ("host", "refused"), [("127.0.0.1", False), ("10.0.0.1", True), ("192.168.1.1", True), ("169.254.169.254", True)]
)
def test_of_private_addresses_only_loopback_may_be_called(
    label_studio_api: httpx.Client, host: str, refused: bool
) -> None:
    made = label_studio_api.post("/api/projects/", json={"title": "hooks", "label_config": _CONFIG}).json()
    hook = {"url": f"http://{host}:9/webhook", "project": made["id"], "actions": ["ANNOTATION_CREATED"]}
    done = label_studio_api.post("/api/webhooks/", json=hook)
    assert done.status_code == (403 if refused else 201), done.text


def test_of_this_machine_it_calls_the_ml_backend_of_its_home_and_nothing_else(standing: Settings) -> None:
    access = ensure_label_studio(standing)
    place = standing.home / "services" / "backend" / "port"
    with listening() as (backend, heard), listening() as (database, met), client(access) as api:
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"{backend}\n")
        made = api.post("/api/projects/", json={"title": "hooks", "label_config": _CONFIG}).raise_for_status().json()
        kinds = {"actions": ["PROJECT_UPDATED"], "send_for_all_actions": False, "project": made["id"]}
        for host in ("127.0.0.1", "localhost"):
            hook = kinds | {"url": f"http://{host}:{backend}/webhook"}
            assert api.post("/api/webhooks/", json=hook).status_code == 201
            hook = kinds | {"url": f"http://{host}:{database}/webhook"}
            assert api.post("/api/webhooks/", json=hook).status_code == 403
        api.patch(f"/api/projects/{made['id']}/", json={"title": "changed"}).raise_for_status()
        assert len(heard) == 2
        # nor does it fetch from there, by itself or by a redirection of the backend's address
        for address in (f"http://127.0.0.1:{database}/rows.json", f"http://127.0.0.1:{backend}/to/{database}"):
            assert api.post(f"/api/projects/{made['id']}/import", data={"url": address}).status_code in (400, 403)
        ml = {"url": f"http://127.0.0.1:{database}", "project": made["id"], "title": "other"}
        assert api.post("/api/ml", json=ml).status_code == 403
        assert met == []
        api.delete(f"/api/projects/{made['id']}/").raise_for_status()
    place.unlink()


@contextmanager
def listening() -> Iterator[tuple[int, list[str]]]:
    """A server on loopback: its port, and what was asked of it."""
    asked: list[str] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802
            asked.append(self.path)
            to = self.path.partition("/to/")[2]
            self.send_response(302 if to else 200)
            if to:
                self.send_header("Location", f"http://127.0.0.1:{to}/rows.json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def do_POST(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.do_GET()

    with serving(Handler) as url:
        yield int(url.rpartition(":")[2]), asked


def test_a_server_of_ones_own_replaces_it(new_home: Path) -> None:
    settings = Settings(
        home=new_home / "unused",
        label_studio_url="https://labels.example/sub/",
        label_studio_api_key=SecretStr(" key\n"),
    )
    access = ensure_label_studio(settings)
    assert (access.url, access.api_key, access.embedded) == ("https://labels.example/sub", "key", False)
    assert "key" not in repr(access).replace("api_key", "")
    with pytest.raises(ServiceError, match="LABEL_STUDIO_API_KEY is not"):
        ensure_label_studio(settings.model_copy(update={"label_studio_api_key": None}))
    with pytest.raises(ServiceError, match="LABEL_STUDIO_URL is not an address"):
        ensure_label_studio(settings.model_copy(update={"label_studio_url": "labels.example"}))
    assert not settings.home.exists()
