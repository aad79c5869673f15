"""An ML backend that speaks Label Studio's protocol, and misbehaves when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: seconds until a slow answer
SLOW_SECONDS = 15.0
_VERSION = "live-1"


class Mood(Enum):
    """States of the backend."""

    ALIVE = "alive"
    DEAD = "dead (port closed)"
    SLOW = "slow (each answer 15 s)"
    SLOW_PREDICTIONS = "slow (predictions 15 s)"
    FAILING = "answering 500"


@dataclass
class MisbehavingBackend:
    """Use as a context; set the mood with `be`. It ticks `label` on every task."""

    label: str
    url: str = ""
    #: requests for predictions that came
    asked: int = 0
    _mood: Mood = Mood.DEAD
    _server: ThreadingHTTPServer | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> MisbehavingBackend:
        self.be(Mood.ALIVE)
        return self

    def __exit__(self, *_: object) -> None:
        self.be(Mood.DEAD)

    def be(self, mood: Mood) -> None:
        """Change the mood; at the same address, whatever it is."""
        self._mood = mood
        if mood is Mood.DEAD:
            self._close()
        elif self._server is None:
            self._open()

    def _open(self) -> None:
        port = int(self.url.rpartition(":")[2]) if self.url else 0
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self._answer))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _close(self) -> None:
        if self._server is not None:
            self._ended.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        mood, predicting = self._mood, path.startswith("/predict")
        self.asked += predicting
        if mood is Mood.SLOW or (mood is Mood.SLOW_PREDICTIONS and predicting):
            self._ended.wait(SLOW_SECONDS)
        if mood is Mood.FAILING:
            return 500, {"detail": "as the benchmark wants it"}
        if predicting:
            region = {"id": "a", "from_name": "labels", "to_name": "text", "type": "choices"}
            result = [region | {"value": {"choices": [self.label]}}]
            return 200, {
                "results": [{"result": result, "score": 0.5, "model_version": _VERSION} for _ in body["tasks"]]
            }
        return 200, {"status": "UP", "model_class": "benchmark", "model_version": _VERSION, "versions": [_VERSION]}


def _handler(
    answer: Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, answer_body = answer(self.path, json.loads(body) if body else {})
            content = json.dumps(answer_body).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                self.close_connection = True  # The client has given up.

        do_GET = do_POST = _serve  # noqa: N815 - the names that http.server asks for

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
