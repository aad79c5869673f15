"""A real server that speaks OpenAI's ``POST /v1/embeddings``, and misbehaves when told to."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

#: numbers in each vector that the stub gives
DIMENSION = 8


def vector_of(text: str) -> list[float]:
    """The stub's vector of a text: always the same, and not of length 1."""
    return [(byte - 127.5) / 10 for byte in hashlib.blake2b(text.encode(), digest_size=DIMENSION).digest()]


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    protocol_version = "HTTP/1.1"
    stub: EmbeddingsStub
    #: vectors are asked for in base64
    packed = False
    retry_after: int | None = None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.packed = body.get("encoding_format") == "base64"
        self.stub.requests.append({"path": self.path, "key": self.headers["Authorization"]} | body)
        self.stub.headers.append(dict(self.headers))
        behave = self.stub.script.pop(0) if self.stub.script else self.stub.otherwise
        behave(self, body["input"])

    def answer(self, status: int, body: bytes, *, claimed: int | None = None) -> None:
        """Send a reply; `claimed` is the length in bytes that its header states, if not the true one."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        if self.retry_after is not None:
            self.send_header("Retry-After", str(self.retry_after))
        # each request its own connection, so that none is left open when a test ends
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


Behaviour = Callable[[Exchange, list[str]], None]


def vectors(exchange: Exchange, texts: list[str]) -> None:
    """The right answer, last text first: clients must go by `index`."""
    found: list[Any] = [vector_of(text) for text in texts]
    if exchange.packed:
        found = [base64.b64encode(struct.pack(f"<{DIMENSION}f", *one)).decode() for one in found]
    data = [{"object": "embedding", "index": i, "embedding": one} for i, one in enumerate(found)]
    exchange.answer(200, json.dumps({"object": "list", "data": data[::-1]}).encode())


def plain(exchange: Exchange, texts: list[str]) -> None:
    """The right answer of a server that has no base64 and says nothing of it."""
    exchange.packed = False
    vectors(exchange, texts)


def strict(exchange: Exchange, texts: list[str]) -> None:
    """The right answer of a server that refuses fields that it does not know."""
    if exchange.packed:
        status(422)(exchange, texts)
    else:
        vectors(exchange, texts)


def at_most(count: int, characters: int = 1_000_000, code: int = 413) -> Behaviour:
    """Refuse more texts in a request, or longer ones, than a server has room for."""

    def answer(exchange: Exchange, texts: list[str]) -> None:
        fits = len(texts) <= count and all(len(text) <= characters for text in texts)
        (vectors if fits else status(code))(exchange, texts)

    return answer


def busy(seconds: int) -> Behaviour:
    """Answer 429, and say how long to wait."""

    def refuse(exchange: Exchange, texts: list[str]) -> None:
        exchange.retry_after = seconds
        exchange.answer(429, b'{"error": {"message": "slow down"}}')

    return refuse


def status(code: int) -> Behaviour:
    """Refuse with an HTTP status."""

    def refuse(exchange: Exchange, texts: list[str]) -> None:
        exchange.answer(code, b'{"error": {"message": "no\\nnot now"}}')

    return refuse


def body(content: bytes) -> Behaviour:
    """Answer 200 with whatever is given."""

    def say(exchange: Exchange, texts: list[str]) -> None:
        exchange.answer(200, content)

    return say


def rows(*embeddings: object) -> Behaviour:
    """Answer 200 with these embeddings, however many texts there were."""
    data = [{"index": i, "embedding": embedding} for i, embedding in enumerate(embeddings)]
    return body(json.dumps({"data": data}).encode())


def truncated(exchange: Exchange, texts: list[str]) -> None:
    """Break off in the middle of the answer."""
    exchange.answer(200, b'{"data": [{"index": 0, "embe', claimed=5_000)


def never(exchange: Exchange, texts: list[str]) -> None:
    """Say nothing for as long as the stub runs."""
    exchange.stub.closing.wait()
    exchange.close_connection = True


class EmbeddingsStub:
    """The server, on a free port of this machine, from `with` to its end."""

    def __init__(self) -> None:
        #: what to do with the next requests, in turn
        self.script: list[Behaviour] = []
        #: what to do when the script has run out
        self.otherwise: Behaviour = vectors
        #: every request: its path, its key, and the fields of its body
        self.requests: list[dict[str, Any]] = []
        #: the headers of every request
        self.headers: list[dict[str, str]] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundExchange", (Exchange,), {"stub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """What SARING_EMBEDDINGS_URL is set to."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
