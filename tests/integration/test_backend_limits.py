"""What a backend that is being served allows: short heads in good time, no idle connections, few wrong passwords."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine

from ml_backend.config import Limits
from pipeline.backend_credentials import BACKEND_USER, WEBHOOK_HEADER
from tests.support.backend import PASSWORD, SECRET, Backend, free_port, request, served, task

#: seconds, short so that the tests are; what is not waited for is far longer
_SOON = 0.3
_LIMITS = Limits(poll=0.05, head=4 << 10, head_seconds=_SOON, idle=1, tries=3)
#: seconds after which a test gives up on a connection that stays open
_PATIENCE = 20


@pytest.fixture
def backend(engine: Engine) -> Iterator[Backend]:
    with served(engine, limits=_LIMITS) as running:
        yield running


@contextmanager
def connected(backend: Backend) -> Iterator[socket.socket]:
    port = int(backend.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """Everything until the other side closes; fails if it does not."""
    received = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not chunk:
            return received
        received += chunk


def one(connection: socket.socket) -> bytes:
    """One answer, by the length that it announces."""
    received = b""
    while (head := received.partition(b"\r\n\r\n"))[1] == b"":
        received += connection.recv(65536)
    length = next(int(line[15:]) for line in head[0].lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(received) < len(head[0]) + 4 + length:
        received += connection.recv(65536)
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_connection_that_says_nothing_is_closed(backend: Backend) -> None:
    with connected(backend) as connection:
        assert rest(connection) == b""


def test_a_head_that_never_ends_is_refused_in_time(backend: Backend) -> None:
    with connected(backend) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        assert status(rest(connection)) == 408


def test_a_head_that_comes_in_drops_gets_no_more_time(backend: Backend) -> None:
    began = time.monotonic()
    with connected(backend) as connection:
        connection.settimeout(_SOON / 10)
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        while time.monotonic() - began < _PATIENCE:
            try:
                connection.sendall(b"X")
                if answer := connection.recv(65536):
                    assert status(answer) == 408
                break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        else:
            pytest.fail("the connection was never closed")


def test_empty_lines_before_a_request_get_no_more_time(backend: Backend) -> None:
    began = time.monotonic()
    with connected(backend) as connection:
        connection.settimeout(_SOON / 10)
        while time.monotonic() - began < _PATIENCE:
            try:
                connection.sendall(b"\r\n")
                assert connection.recv(65536) == b""
                break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        else:
            pytest.fail("the connection was never closed")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nX-Long: " + b"a" * 5_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % i for i in range(600)) + b"\r\n",
        b"GET /health?" + b"a" * 5_000 + b" HTTP/1.1\r\n\r\n",
        # no end in sight
        b"GET /health HTTP/1.1\r\nX-Long: " + b"a" * 5_000,
    ],
    ids=["one field", "many fields", "address", "unfinished"],
)
def test_a_head_that_is_too_long_is_refused(backend: Backend, head: bytes) -> None:
    with connected(backend) as connection:
        connection.sendall(head)
        assert status(rest(connection)) == 431


def test_a_connection_is_used_again_and_then_closed(backend: Backend) -> None:
    with connected(backend) as connection:
        for _ in range(3):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
            assert status(one(connection)) == 200
        assert rest(connection) == b""


def test_a_body_that_nobody_reads_keeps_no_connection(backend: Backend) -> None:
    began = time.monotonic()
    with connected(backend) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n")
        assert status(one(connection)) == 401
        connection.settimeout(0.05)
        while time.monotonic() - began < _PATIENCE:
            try:
                connection.sendall(b"x")
                assert connection.recv(65536) == b""
                break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        else:
            pytest.fail("the connection was never closed")


def test_requests_in_one_go_are_all_answered(backend: Backend) -> None:
    with connected(backend) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n" * 3)
        assert rest(connection).count(b"HTTP/1.1 200 OK") == 3


def test_a_large_body_is_no_long_head(backend: Backend) -> None:
    with backend.client() as client:
        answer = client.post("/predict", json=request([task("kopi " * 10_000)]))
    assert answer.status_code == 200


def test_too_many_wrong_passwords_are_refused_the_right_one_too(backend: Backend) -> None:
    for _ in range(_LIMITS.tries):
        with backend.client(auth=(BACKEND_USER, "wrong")) as client:
            assert client.post("/setup", json={}).status_code == 401
    for password in ("wrong", PASSWORD):
        with backend.client(auth=(BACKEND_USER, password)) as client:
            refused = client.post("/setup", json={})
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
    with backend.client(auth=None) as client:
        assert client.post("/webhook", json={}, headers={WEBHOOK_HEADER: SECRET}).status_code == 429
        assert client.get("/health").status_code == 200


def test_wrong_secrets_of_webhooks_count_and_requests_without_any_do_not(backend: Backend) -> None:
    with backend.client(auth=None) as client:
        assert {client.post("/webhook", json={}).status_code for _ in range(3 * _LIMITS.tries)} == {401}
        wrong = [
            client.post("/webhook", json={}, headers={WEBHOOK_HEADER: "no"}).status_code
            for _ in range(_LIMITS.tries + 1)
        ]
    assert wrong == [401] * _LIMITS.tries + [429]


def test_the_right_password_never_runs_out(backend: Backend) -> None:
    token = base64.b64encode(f"{BACKEND_USER}:{PASSWORD}".encode()).decode()
    with backend.client(auth=None) as client:
        answers = {
            client.post("/setup", json={}, headers={"Authorization": f"Basic {token}"}).status_code for _ in range(30)
        }
    assert answers == {200}


@pytest.mark.parametrize("name", ["SARING_BACKEND_PASSWORD", "SARING_WEBHOOK_SECRET"])
def test_a_short_password_is_refused_where_others_can_reach_it(environment: dict[str, str], name: str) -> None:
    chosen = {"SARING_BACKEND_PASSWORD": "a-long-password"} | {name: "elevenchars"}
    command = [sys.executable, "-m", "saring", "serve", "--host", "0.0.0.0", "--port", str(free_port())]
    done = subprocess.run(command, env=environment | chosen, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr and "12" in done.stderr
    assert "elevenchars" not in done.stderr
