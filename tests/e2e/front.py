"""What may stand before a real Label Studio: a server at a path, one that answers by itself, or that ends somebody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.e2e.loopback import HOP, QuietHandler, serving


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
