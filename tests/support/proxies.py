"""Servers on loopback that stand before a real Label Studio: they pass requests on, and misbehave when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

#: headers that belong to one connection and are not passed on
HOP = frozenset({"connection", "content-length", "content-encoding", "transfer-encoding", "keep-alive", "host"})


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections open, as real servers do, and says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port; the address."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Fault(Enum):
    """What goes wrong with a request."""

    #: the server does the work, and the answer is lost
    LOST_ANSWER = "lost answer"
    #: the server does the work, and the answer is a 502 of somebody in between
    BAD_GATEWAY_AFTER = "502 after"
    #: the server never hears of it
    NEVER_ARRIVES = "never arrives"
    #: the server does the work, and half of the answer arrives
    HALF_BODY = "half a body"
    #: the answer is a page of HTML
    NOT_JSON = "not JSON"
    #: an answer with this status, which the server never heard of
    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    TOO_MANY = 429
    SERVER_ERROR = 500
    UNAVAILABLE = 503


@dataclass(slots=True)
class Rule:
    """Requests to go wrong: the first `skip` that match pass, the next `times` don't."""

    fault: Fault
    method: str
    path: str
    times: int = 1
    skip: int = 0


@dataclass(slots=True)
class FaultyProxy:
    """The proxy; `url` stands for the server's own address."""

    upstream: str
    url: str = ""
    #: every request that came, as `METHOD /path`
    seen: list[str] = field(default_factory=list)
    _rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, fault: Fault, method: str, path: str, *, times: int = 1, skip: int = 0) -> None:
        """Have requests go wrong whose method is `method` and whose address holds `path`."""
        with self._lock:
            self._rules.append(Rule(fault, method, path, times, skip))

    def count(self, method: str, path: str) -> int:
        """How many such requests came."""
        with self._lock:
            return sum(one.startswith(f"{method} ") and path in one for one in self.seen)

    def _next(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.seen.append(f"{method} {path}")
            for rule in self._rules:
                if rule.method != method or rule.path not in path or rule.times <= 0:
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.times -= 1
                return rule.fault
        return None


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[FaultyProxy]:
    """Serve a proxy to `upstream` on a free port of loopback."""
    proxy = FaultyProxy(upstream)

    class Handler(QuietHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fault = proxy._next(self.command, self.path)
            if fault is not None and isinstance(fault.value, int):
                self._reply(fault.value, b'{"detail": "as the test wants it"}', {"content-type": "application/json"})
                return
            if fault is Fault.NEVER_ARRIVES:
                self._hang_up()
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            answer = client.request(self.command, upstream + self.path, content=body, headers=headers)
            if fault is Fault.LOST_ANSWER:
                self._hang_up()
            elif fault is Fault.BAD_GATEWAY_AFTER:
                self._reply(502, b"<html>Bad Gateway</html>", {"content-type": "text/html"})
            elif fault is Fault.NOT_JSON:
                self._reply(answer.status_code, b"<html>hello</html>", {"content-type": "text/html"})
            elif fault is Fault.HALF_BODY:
                self._reply(answer.status_code, answer.content, dict(answer.headers), part=len(answer.content) // 2)
            else:
                self._reply(answer.status_code, answer.content, dict(answer.headers))

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve  # noqa: N815 - the names that http.server asks for

        def _reply(self, status: int, body: bytes, headers: dict[str, str], *, part: int | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if part is None else body[:part])
            if part is not None:
                self._hang_up()

        def _hang_up(self) -> None:
            self.close_connection = True

    with httpx.Client(timeout=120, trust_env=False) as client, serving(Handler) as proxy.url:
        yield proxy


@dataclass(frozen=True, slots=True)
class Answer:
    """What it answers by itself."""

    status: int
    body: bytes = b'{"detail": "as the test wants it"}'
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass(slots=True)
class Front:
    """A server in front of `upstream`, which sees the requests without `prefix`."""

    upstream: str
    prefix: str = ""
    url: str = ""
    #: every request that came, as `METHOD /path`
    seen: list[str] = field(default_factory=list)
    #: answers by itself, by the start of `METHOD /path`, taken in order
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    #: told of every request before it goes on
    before: Callable[[str], None] = lambda _: None

    def says(self, request: str, *answers: Answer) -> None:
        """Have the next such requests answered so."""
        self.answers.setdefault(request, []).extend(answers)

    def count(self, request: str) -> int:
        """How many such requests came."""
        return sum(one.startswith(request) for one in self.seen)

    def _own(self, request: str) -> Answer | None:
        for start, answers in self.answers.items():
            if request.startswith(start) and answers:
                return answers.pop(0)
        return None


@contextmanager
def front(upstream: str, prefix: str = "") -> Iterator[Front]:
    """Serve on a free port of loopback."""
    made = Front(upstream, prefix)

    class Handler(QuietHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            request = f"{self.command} {self.path}"
            made.seen.append(request)
            made.before(request)
            own = made._own(request)
            if own is None and not self.path.startswith(f"{prefix}/"):
                own = Answer(404, b"<html>nothing here</html>", {"content-type": "text/html"})
            if own is None:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                there = client.request(
                    self.command, upstream + self.path.removeprefix(prefix), content=body, headers=headers
                )
                passed = {name: value for name, value in there.headers.items() if name.lower() not in HOP}
                own = Answer(there.status_code, there.content, passed)
            self.send_response(own.status)
            for name, value in own.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(own.body)))
            self.end_headers()
            self.wfile.write(own.body)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server asks for

    with httpx.Client(timeout=120, trust_env=False) as client, serving(Handler) as made.url:
        yield made
