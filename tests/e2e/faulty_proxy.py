"""A proxy in front of a real Label Studio that passes requests on, and misbehaves where it was told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

import httpx

from tests.e2e.loopback import HOP, QuietHandler, serving


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
