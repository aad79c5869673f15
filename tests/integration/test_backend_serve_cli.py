"""`saring serve`: a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.backend_credentials import WEBHOOK_HEADER
from pipeline.store import open_session
from tests.support.backend import choices, free_port, promote, request, serving, task, train_model


def test_it_serves_this_home_until_it_is_stopped(
    environment: dict[str, str], engine: Engine, new_home: Path, tmp_path: Path
) -> None:
    promote(engine, train_model(tmp_path))
    # no broker there: events are kept all the same
    environment = environment | {"SARING_REDIS_URL": "redis://127.0.0.1:1/0"}
    port = free_port()
    with serving(environment, port) as process:
        kept = json.loads((new_home / "backend.json").read_text())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert client.post("/setup", json={}).status_code == 401
            client.auth = httpx.BasicAuth("label-studio", kept["password"])
            [prediction] = client.post("/predict", json=request([task("cerita lucah lagi")])).json()["results"]
            secret = {WEBHOOK_HEADER: kept["webhook_secret"]}
            told = httpx.post(f"{client.base_url}/webhook", json={"action": "ANNOTATION_UPDATED"}, headers=secret)
        assert choices(prediction) == ["porn"]
        assert told.status_code == 201
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)
    assert "this machine only" in said
    assert "Traceback" not in said
    for secret_value in kept.values():
        assert secret_value not in said
    with open_session(engine) as session:
        assert session.scalars(select(store.Event.action)).all() == ["ANNOTATION_UPDATED"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_others_are_not_let_in_without_a_chosen_password(environment: dict[str, str], host: str) -> None:
    command = [sys.executable, "-m", "saring", "serve", "--host", host, "--port", str(free_port())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "SARING_BACKEND_PASSWORD" in done.stderr


def test_with_a_chosen_password_others_are_let_in(environment: dict[str, str]) -> None:
    port = free_port()
    with serving(environment | {"SARING_BACKEND_PASSWORD": "a-long-password"}, port, "--host", "0.0.0.0"):
        auth = ("label-studio", "a-long-password")
        answer = httpx.post(f"http://127.0.0.1:{port}/setup", json={}, auth=auth, trust_env=False)
        assert answer.json()["model_version"]


def test_a_port_that_is_taken_is_named(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "saring", "serve", "--port", str(port)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(port) in done.stderr
