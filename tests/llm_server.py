"""A server that speaks OpenAI's chat completions over HTTP, standing for a large model; it misbehaves on request.

What it answers of a text is what the text asks for: `[[429]]`, `[[refusal]]` and so on (see `_ODD`); else it labels by
a word or two. `python -m tests.llm_server PORT [SECONDS]` is the same in a process of its own, with that latency.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn

MODEL = "stub-1"
Json = dict[str, Any]
#: what of a reply a text asks for, as the model would write it
_ODD = {
    "fenced": 'Sure!\n```json\n{"labels": ["hate"], "confidence": 0.8, "explanation": "x"}\n```',
    "python": "{'labels': ['Hate Speech',], 'confidence': 0.7, 'explanation': 'x',}",
    "unclosed": '{"labels": ["hate"], "confidence": 0.7, "explanation": "x"',
    "invented": '{"labels": ["happiness"], "confidence": 0.9, "explanation": "x"}',
    "half invented": '{"labels": ["hate", "happiness"], "confidence": 0.9, "explanation": "x"}',
    "apology": "I'm sorry, I can't help with that.",
    "prose": "This one looks hateful to me.",
    "empty": "",
    "contradiction": '{"labels": ["hate", "safe for work"], "confidence": 0.9, "explanation": "x"}',
}


@dataclass
class Model:
    """What the server is like, and what it was asked."""

    latency: float = 0.0
    #: answered with 400 when a reply's shape is asked for: json_schema, json_object
    refuses_shapes: tuple[str, ...] = ()
    #: status for everything, and how often
    down: int = 0
    down_for: int = 10**9
    key: str | None = None
    models: tuple[str, ...] = (MODEL,)
    #: requests at once from which on it answers 429
    capacity: int = 10**9
    asked: list[Json] = field(default_factory=list)
    #: completions given, by text
    answered: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    _at_once: int = 0
    _seen: Counter[str] = field(default_factory=Counter)

    async def answer(self, path: str, body: bytes, key: str | None) -> tuple[int, dict[str, str], bytes | None]:
        """Status, headers, and body (None: the connection is cut half-way)."""
        if self.key is not None and key != f"Bearer {self.key}":
            return 401, {}, b'{"error": {"message": "no"}}'
        if self.down and self.down_for > 0:
            self.down_for -= 1
            return self.down, {}, b"{}"
        if path.endswith("/models"):
            return 200, {}, _dumped({"object": "list", "data": [{"id": one, "object": "model"} for one in self.models]})
        if not path.endswith("/chat/completions"):
            return 404, {}, b"{}"
        request = json.loads(body)
        self.asked.append(request)
        shape = (request.get("response_format") or {}).get("type")
        if shape in self.refuses_shapes:
            return 400, {}, b'{"error": {"message": "response_format is not supported"}}'
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self._at_once > self.capacity:
                return 429, {"retry-after": "0.05"}, b"{}"
            if self.latency:
                await asyncio.sleep(self.latency)
            return await self._complete(json.loads(request["messages"][-1]["content"])["text"])
        finally:
            self._at_once -= 1

    async def _complete(self, text: str) -> tuple[int, dict[str, str], bytes | None]:
        self._seen[text] += 1
        wants = text.partition("[[")[2].partition("]]")[0]
        first = self._seen[text] == 1
        if wants == "slow":
            await asyncio.sleep(30)
        if wants.isdigit() and first:
            return int(wants), {"retry-after": "0.05"} if wants == "429" else {}, b"{}"
        if wants == "always 500":
            return 500, {}, b"{}"
        if wants == "cut off" and first:
            return 200, {}, None
        if wants == "not JSON" and first:
            return 200, {}, b"<html>a proxy says hello</html>"
        if wants == "too long":
            return 400, {}, b'{"error": {"message": "the context is too long"}}'
        self.answered[text] += 1
        message: Json = {"role": "assistant", "content": _ODD.get(wants, label(text))}
        finish = "stop"
        if wants == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "not this"}
        if wants == "length":
            message["content"], finish = '{"labels": ["hate", "rac', "length"
        choices = [] if wants == "no choices" else [{"index": 0, "message": message, "finish_reason": finish}]
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        reply = {"id": "c", "object": "chat.completion", "created": 0, "model": MODEL, "choices": choices}
        return 200, {}, _dumped(reply | {"usage": usage})


def label(text: str) -> str:
    """A well-formed reply."""
    labels = ["hate"] if "benci" in text else ["porn"] if "lucah" in text else ["safe for work"]
    return json.dumps({"labels": labels, "confidence": 0.9, "explanation": "by a word"})


def _dumped(value: Json) -> bytes:
    return json.dumps(value).encode()


def app(model: Model) -> Callable[..., Any]:
    """The ASGI application."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, extra, answer = await model.answer(scope["path"], body, headers.get("authorization"))
        cut = answer is None
        answer = b'{"id": "c", "cho' if answer is None else answer
        length = len(answer) + (1000 if cut else 0)
        told = {"content-type": "application/json", "content-length": str(length), **extra}
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), value.encode()) for name, value in told.items()],
            }
        )
        await send({"type": "http.response.body", "body": answer, "more_body": cut})

    return serve


class LLMServer:
    """The server in a thread of this process, on a free port."""

    def __init__(self, model: Model | None = None) -> None:
        self.model = model or Model()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        config = uvicorn.Config(app(self.model), log_level="critical", lifespan="off", loop="asyncio", http="httptools")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> LLMServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._socket.close()


if __name__ == "__main__":
    served = Model(latency=float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
    uvicorn.run(app(served), host="127.0.0.1", port=int(sys.argv[1]), log_level="critical", lifespan="off")
