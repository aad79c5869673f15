"""The ML backend, the worker, beat and the keeper as processes of a home: they start, stay where they are, and end.

A stand-in takes the place of `python -m saring`, so that only the keeping of the processes is looked at.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pydantic import SecretStr

from pipeline.errors import ServiceError
from pipeline.settings import Settings
from saring.services import ServiceStatus, ensure_backend, ensure_keeper, ensure_worker, loop_status, stop_services

_STAND_IN = """
import http.server, json, os, pathlib, signal, sys, time

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = ("SARING_HOME", "SARING_DATABASE_URL", "SARING_SEED", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY")
        body = json.dumps({name: os.environ.get(name) for name in names}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

mode = os.environ.get("MODE", "")
if mode == "broken":
    sys.exit("ConfigurationError: there is no broker")
if sys.argv[1:3] == ["serve", "--port"]:
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Health).serve_forever()
assert sys.argv[1:] in (
    ["worker", "--queues", "cpu,gpu"],
    ["worker", "--queues", "io"],
    ["beat"],
    ["keep", "--without", "backend"],
), sys.argv
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    os.fork()
pathlib.Path(os.environ["SARING_READY_FILE"]).touch()
while True:
    signal.pause()
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m saring` finds this first."""
    package = tmp_path / "saring"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(_STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def settings(new_home: Path) -> Settings:
    return Settings(home=new_home, database_url=SecretStr("postgresql://me:hunter2@localhost:1/x"), seed=7)


def status(settings: Settings, name: str) -> ServiceStatus:
    return next(one for one in loop_status(settings) if one.name == name)


def process(settings: Settings, name: str) -> psutil.Process:
    pid = status(settings, name).pid
    assert pid is not None
    return psutil.Process(pid)


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


def ended(one: psutil.Process) -> bool:
    return not one.is_running() or one.status() == psutil.STATUS_ZOMBIE


def health(url: str) -> dict[str, Any]:
    found = httpx.get(f"{url}/health", trust_env=False).json()
    assert isinstance(found, dict)
    return found


def test_they_start_once_and_stop(settings: Settings) -> None:
    assert {one.state for one in loop_status(settings)} == {"stopped"}
    url = ensure_backend(settings)
    ensure_worker(settings)
    ensure_keeper(settings, ["backend"])
    before = {name: process(settings, name) for name in ("ML backend", "worker", "io-worker", "beat", "keeper")}
    assert {status(settings, name).state for name in before} == {"ready"}
    assert status(settings, "ML backend").address == url
    assert ensure_backend(settings) == url
    ensure_worker(settings)
    assert {name: process(settings, name) for name in before} == before
    # the keeper first, or it would start the others again
    assert stop_services(settings) == ["keeper", "beat", "io-worker", "worker", "ML backend"]
    assert all(ended(one) for one in before.values())
    assert {one.state for one in loop_status(settings)} == {"stopped"}
    assert stop_services(settings) == []


def test_they_run_with_the_settings_and_show_no_secret(settings: Settings) -> None:
    url = ensure_backend(
        settings.model_copy(update={"label_studio_url": "http://ls", "label_studio_api_key": SecretStr("hunter3")})
    )
    assert health(url) == {
        "SARING_HOME": str(settings.home),
        "SARING_DATABASE_URL": "postgresql://me:hunter2@localhost:1/x",
        "SARING_SEED": "7",
        "LABEL_STUDIO_URL": "http://ls",
        "LABEL_STUDIO_API_KEY": "hunter3",
    }
    assert "hunter" not in " ".join(process(settings, "ML backend").cmdline())


def test_the_backend_keeps_its_address_whatever_happens_to_it(settings: Settings) -> None:
    url = ensure_backend(settings)
    process(settings, "ML backend").kill()
    assert ensure_backend(settings) == url
    assert health(url)
    stop_services(settings)
    assert ensure_backend(settings) == url


def test_a_port_that_another_program_took_is_named(settings: Settings) -> None:
    url = ensure_backend(settings)
    port = int(url.rpartition(":")[2])
    stop_services(settings)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        with pytest.raises(ServiceError, match=rf"port {port} of ML backend is taken by .*{os.getpid()}.*saring up"):
            ensure_backend(settings)
        assert status(settings, "ML backend").state == "stopped"
    assert ensure_backend(settings) == url


def test_a_chosen_port_counts_from_the_next_start_on(settings: Settings) -> None:
    before = ensure_backend(settings)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = int(other.getsockname()[1])
        other.listen()
        chosen = settings.model_copy(update={"backend_port": port})
        assert ensure_backend(chosen) == before, "it runs, and is left alone"
        stop_services(settings)
        with pytest.raises(
            ServiceError, match=rf"port {port} of ML backend is taken by .*set SARING_BACKEND_PORT to another"
        ):
            ensure_backend(chosen)
    assert ensure_backend(chosen) == f"http://127.0.0.1:{port}"
    assert health(f"http://127.0.0.1:{port}")
    stop_services(settings)
    assert ensure_backend(settings) == f"http://127.0.0.1:{port}", "kept, also without the setting"


def test_an_address_in_the_settings_replaces_the_backend(new_home: Path) -> None:
    settings = Settings(home=new_home / "unused", backend_url="http://backend.example:9090/")
    assert ensure_backend(settings) == "http://backend.example:9090"
    assert not settings.home.exists()


def test_a_killed_worker_is_not_taken_for_a_ready_one(settings: Settings) -> None:
    ensure_worker(settings)
    first = process(settings, "worker")
    first.kill()
    wait_until(lambda: status(settings, "worker").state == "stopped")
    ensure_worker(settings)
    assert process(settings, "worker") != first


def test_why_one_does_not_start_is_one_line_with_its_log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODE", "broken")
    with pytest.raises(
        ServiceError, match=r"^worker did not start: ConfigurationError: there is no broker: .*worker\.log\)$"
    ):
        ensure_worker(settings)


def test_a_worker_that_ignores_requests_is_ended_with_its_children(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saring.services.server.STOP_SECONDS", 0.5)
    monkeypatch.setenv("MODE", "stubborn")
    ensure_worker(settings)
    parent = process(settings, "worker")
    family = [parent, *parent.children()]
    assert len(family) == 2
    assert stop_services(settings) == ["beat", "io-worker", "worker"]
    wait_until(lambda: all(ended(one) for one in family))
