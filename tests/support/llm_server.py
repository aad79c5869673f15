"""A real server that speaks OpenAI's chat completions over HTTP, and misbehaves when told to.

In a test it runs in a thread of its own (`with LlmServer() as server`). As a process it answers well, after a while:

    python -m tests.support.llm_server --port 8001 --latency 0.03

It counts for each text how often it was asked and how often an answer was sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import uvicorn

from tests.support.served import run_to_the_end

MODEL = "stub-model"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Exchange:
    """One request, and the ways to answer it."""

    def __init__(self, server: LlmServer, path: str, body: dict[str, Any], send: Send) -> None:
        self.server, self.path, self.body, self._send = server, path, body, send

    @property
    def text(self) -> str:
        """The text that is to be labelled or translated."""
        return str(json.loads(self.body["messages"][-1]["content"])["text"])

    @property
    def instructions(self) -> str:
        """The instructions that came with the text."""
        return str(self.body["messages"][0]["content"])

    async def raw(
        self, status: int, content: bytes, *, headers: dict[str, str] | None = None, claimed: int = 0
    ) -> None:
        """Answer with these bytes; `claimed` is a length that the header states and the body does not have."""
        said = {"content-type": "application/json", "content-length": str(claimed or len(content))} | (headers or {})
        pairs = [(name.encode(), value.encode()) for name, value in said.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})
        await self._send({"type": "http.response.body", "body": content, "more_body": bool(claimed)})

    async def says(self, content: str | None, *, finish: str = "stop", refusal: str | None = None) -> None:
        """A completion with that content."""
        message = {"role": "assistant", "content": content, "refusal": refusal}
        await self.choices([{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}])

    async def choices(self, choices: list[dict[str, Any]], *, usage: Any = USAGE) -> None:
        """A completion with these choices."""
        done = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": choices,
            "usage": usage,
        }
        self.server.answered[self.text] += 1
        await self.raw(200, json.dumps(done).encode())


Behaviour = Callable[[Exchange], Awaitable[None]]


def verdict(*labels: str, confidence: float = 0.9, explanation: str = "so it seems") -> str:
    """A well-formed reply."""
    return json.dumps({"labels": list(labels), "confidence": confidence, "explanation": explanation})


async def well(exchange: Exchange) -> None:
    """What `server.answer` says of the text, after `server.latency` seconds."""
    if exchange.server.latency:
        await asyncio.sleep(exchange.server.latency)
    await exchange.says(exchange.server.answer(exchange.text))


def saying(content: str | None, *, finish: str = "stop", refusal: str | None = None) -> Behaviour:
    """That content, whatever was asked."""

    async def say(exchange: Exchange) -> None:
        await exchange.says(content, finish=finish, refusal=refusal)

    return say


def status(code: int, message: str = "not now", **headers: str) -> Behaviour:
    """Refuse with an HTTP status."""

    async def refuse(exchange: Exchange) -> None:
        error = {"error": {"message": message, "type": "error", "code": code}}
        await exchange.raw(code, json.dumps(error).encode(), headers=headers)

    return refuse


def message(said: dict[str, Any], *, finish: str | None = "stop", usage: Any = USAGE) -> Behaviour:
    """A completion with that message, whatever it holds."""

    async def say(exchange: Exchange) -> None:
        choice = {"index": 0, "message": {"role": "assistant"} | said, "finish_reason": finish}
        await exchange.choices([choice], usage=usage)

    return say


def error_as_answer(error: Any) -> Behaviour:
    """Status 200, and an error in the body."""

    async def say(exchange: Exchange) -> None:
        await exchange.raw(200, json.dumps({"error": error}).encode())

    return say


def refusing(name: str, message: str, *, status: int = 400, **error: Any) -> Behaviour:
    """Refuse a request that has a field of that name; answer well otherwise."""

    async def behave(exchange: Exchange) -> None:
        if name in exchange.body:
            body = {"error": {"message": message, "type": "invalid_request_error"} | error}
            await exchange.raw(status, json.dumps(body).encode())
        else:
            await well(exchange)

    return behave


async def not_json(exchange: Exchange) -> None:
    """Answer 200 with a page."""
    await exchange.raw(200, b"<html>welcome to the proxy</html>", headers={"content-type": "text/html"})


async def no_choices(exchange: Exchange) -> None:
    """A completion without any choice."""
    await exchange.choices([])


async def truncated(exchange: Exchange) -> None:
    """Break off in the middle of the body."""
    await exchange.raw(200, b'{"id": "chatcmpl-1", "choi', claimed=5_000)
    raise ConnectionAbortedError


async def reset(exchange: Exchange) -> None:
    """Close the connection instead of answering."""
    raise ConnectionAbortedError


async def never(exchange: Exchange) -> None:
    """Say nothing for as long as the server runs, or until it is told to go on."""
    await exchange.server.go_on()
    await well(exchange)


def without_forms(*known: str) -> Behaviour:
    """Refuse a `response_format` that is not among those known; answer well otherwise."""

    async def behave(exchange: Exchange) -> None:
        form = exchange.body.get("response_format", {}).get("type")
        if form is not None and form not in known:
            await status(400, f"response_format of type {form!r} is not supported")(exchange)
        else:
            await well(exchange)

    return behave


class LlmServer:
    """The server, on a free port of this machine, from `with` to its end."""

    def __init__(self, *, latency: float = 0.0, models: tuple[str, ...] = (MODEL,), port: int = 0) -> None:
        self.latency, self.models = latency, models
        #: what to do with the next requests, in turn
        self.script: list[Behaviour] = []
        #: what to do when the script has run out
        self.otherwise: Behaviour = well
        #: the reply's content for a text
        self.answer: Callable[[str], str] = lambda _: verdict("safe for work")
        #: every request for a completion, with the key that it brought
        self.requests: list[dict[str, Any]] = []
        #: the headers of every request for a completion
        self.headers: list[dict[str, str]] = []
        #: for each text, how often it was asked about and how often an answer was sent
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0
        self._released = threading.Event()
        # asyncio sends at once only where a socket says that it is TCP
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(512)
        # a test's server ends with its test, whatever is still being answered
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            log_config=None,
            lifespan="off",
            # between us and the connection, nothing
            proxy_headers=False,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)

    @property
    def url(self) -> str:
        """What SARING_LLM_URL is set to."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def release(self) -> None:
        """Let whatever `never` holds go on."""
        self._released.set()

    async def go_on(self) -> None:
        """Wait for `release`."""
        while not self._released.is_set() and not self._server.should_exit:
            await asyncio.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def serve(self) -> None:
        """Serve until the process is told to end."""
        self._run()

    def _run(self) -> None:
        run_to_the_end(self._server, self._socket)

    async def _app(self, scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
        content = b""
        while True:
            message = await receive()
            content += message.get("body", b"")
            if not message.get("more_body"):
                break
        exchange = Exchange(self, scope["path"], json.loads(content) if content else {}, send)
        if scope["path"] == "/v1/models":
            data = [{"id": name, "object": "model", "created": 1, "owned_by": "tests"} for name in self.models]
            await exchange.raw(200, json.dumps({"object": "list", "data": data}).encode())
            return
        if scope["path"] != "/v1/chat/completions":
            await exchange.raw(404, b"404 page not found", headers={"content-type": "text/plain"})
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append({"key": headers.get("authorization", "")} | exchange.body)
        self.headers.append(headers)
        self.asked[exchange.text] += 1
        behave = self.script.pop(0) if self.script else self.otherwise
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await behave(exchange)
        except ConnectionAbortedError:
            # as when the process behind the socket dies
            transport = getattr(getattr(send, "__self__", None), "transport", None)
            assert transport is not None, "uvicorn's cycle knows its transport"
            transport.abort()
        finally:
            self.under_way -= 1


def main() -> None:
    """Serve on a port until the process is told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--latency", type=float, default=0.03)
    args = parser.parse_args()
    server = LlmServer(latency=args.latency, port=args.port)
    # nothing is kept of what a load generator sends
    server.requests, server.headers = _Nothing(), _Nothing()
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()


class _Nothing(list[Any]):
    def append(self, _: Any) -> None:
        """Keep nothing."""


if __name__ == "__main__":
    main()
