"""Answer times of the ML backend, beside a plain Flask app with the same scikit-learn model.

The model is the linear one, trained on the demo corpus. Ours is `saring serve` with its store; it answers for texts
that the store knows (from the ledger and the model) and for others (from the model). The peer does only the latter,
once with a model object for each request, which is how label-studio-ml works, and once with one that is kept. Clients
and server share the machine. Prints JSON lines; times are in milliseconds unless named otherwise.

    python benchmarks/ml_backend.py [--clients 50] [--requests 100] [--tasks 12000] [--flask DIR]

Flask is no dependency; for the peer, put it somewhere and name the place:

    python -m pip install --target DIR flask
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
from _measure import emit
from _serving_load import Answers, ask, ask_all, home_with_champion, raw, served

from pipeline.backend_credentials import WEBHOOK_HEADER, BackendCredentials, backend_credentials
from pipeline.taxonomy import load_taxonomy
from saring.demo.plant import Line, read_corpus

_ROOT = Path(__file__).resolve().parents[1]
_FLASK = "python -m pip install --target DIR flask"
_TAXONOMY = load_taxonomy()
_CHOICES = "".join(f'<Choice value="{key}"/>' for key in _TAXONOMY.keys)
_CONFIG = (
    '<View><Text name="text" value="$text"/>'
    f'<Choices name="labels" toName="text" choice="multiple">{_CHOICES}</Choices></View>'
)


def main() -> None:
    """Measure ours, then the peer if there is one."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clients", type=int, default=50)
    arguments.add_argument("--requests", type=int, default=100, help="of each client")
    arguments.add_argument("--tasks", type=int, default=12_000, help="in the large request")
    arguments.add_argument("--flask", type=Path, help="where Flask was put")
    options = arguments.parse_args()
    lines = read_corpus()
    with home_with_champion(lines) as (settings, folder):
        credentials = backend_credentials(settings)
        environment = {"SARING_HOME": str(settings.home)}
        with served([sys.executable, "-m", "saring", "serve", "--port", "{port}"], environment) as (port, process):
            _ours(port, process, credentials, lines, options)
        if options.flask is None:
            emit("ml_backend", {"who": "flask", "skipped": f"--flask DIR is not given; to get it: {_FLASK}"})
            return
        for way in ("each", "once"):
            command = [sys.executable, str(_ROOT / "benchmarks/_flask_backend.py"), str(folder), "{port}", way]
            path = os.pathsep.join([str(_ROOT), str(options.flask)])
            with served(command, {"PYTHONPATH": path}) as (port, process):
                _peer(port, process, way, lines, options)


def _ours(
    port: int,
    process: psutil.Process,
    credentials: BackendCredentials,
    lines: Sequence[Line],
    options: argparse.Namespace,
) -> None:
    basic = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
    authorization = f"Authorization: Basic {basic}\r\n"
    for texts, connections in (("unknown", "kept"), ("known", "kept"), ("known", "one a request")):
        headers = authorization + ("" if connections == "kept" else "Connection: close\r\n")
        requests = _single(port, lines, options, headers, known=texts == "known")
        asyncio.run(ask_all(port, [of_client[:5] for of_client in requests]))  # Warm up.
        figures = asyncio.run(ask_all(port, requests)).figures()
        what = {"who": "saring", "what": f"one task, {texts} texts", "connections": connections}
        emit("ml_backend", what | _shape(options) | figures)
    for texts in ("unknown", "known"):
        body = _body(_tasks(lines, range(options.tasks), known=texts == "known"))
        emit(
            "ml_backend",
            {"who": "saring", "what": f"one large request, {texts} texts"} | _large(port, process, body, basic),
        )
    emit(
        "ml_backend",
        {"who": "saring", "what": "one task, beside a large request"} | _beside(port, lines, basic, options),
    )
    event = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "result": []}, "task": _tasks(lines, [0])[0]}
    event |= {"project": {"id": 1, "label_config": _CONFIG, "token": "none"}}
    secret = f"{WEBHOOK_HEADER}: {credentials.webhook_secret}\r\n"
    told = [[raw(port, "/webhook", orjson.dumps(event), secret)] * options.requests for _ in range(8)]
    asyncio.run(ask_all(port, [of_client[:5] for of_client in told]))
    answers = asyncio.run(ask_all(port, told))
    emit("ml_backend", {"who": "saring", "what": "webhook", "clients": 8, **answers.figures()})


def _peer(port: int, process: psutil.Process, way: str, lines: Sequence[Line], options: argparse.Namespace) -> None:
    who = f"flask, model object {'a request' if way == 'each' else 'kept'}"
    # A few requests are enough where each takes long.
    few = argparse.Namespace(**vars(options) | {"requests": 4 if way == "each" else options.requests})
    requests = _single(port, lines, few, "", known=False)
    asyncio.run(ask_all(port, [of_client[:1] for of_client in requests]))
    answers = asyncio.run(ask_all(port, requests))
    emit("ml_backend", {"who": who, "what": "one task, unknown texts", **_shape(few), **answers.figures()})
    body = _body(_tasks(lines, range(options.tasks)))
    emit("ml_backend", {"who": who, "what": "one large request, unknown texts"} | _large(port, process, body, ""))


def _shape(options: argparse.Namespace) -> dict[str, object]:
    return {"clients": options.clients, "cores": os.cpu_count()}


def _tasks(lines: Sequence[Line], numbers: Sequence[int], *, known: bool = False) -> list[dict[str, Any]]:
    """Tasks with every field that Label Studio sends; unknown texts carry a number that nothing in the store has."""
    now = "2026-01-01T00:00:00.000000Z"
    return [
        {
            "id": i,
            "data": {"text": lines[i % len(lines)].text + ("" if known else f" {i}")},
            "meta": {},
            **dict.fromkeys(("created_at", "updated_at"), now),
            **dict.fromkeys(("updated_by", "file_upload"), None),
            **dict.fromkeys(("total_annotations", "cancelled_annotations", "total_predictions", "comment_count"), 0),
            **{name: [] for name in ("comment_authors", "annotations", "predictions")},
            "is_labeled": False,
            "overlap": 1,
            "inner_id": i,
            "project": 1,
        }
        for i in numbers
    ]


def _body(tasks: Sequence[dict[str, Any]]) -> bytes:
    parameters = {"login": None, "password": None, "context": None}
    return orjson.dumps({"tasks": tasks, "project": "1.1795437340", "label_config": _CONFIG, "params": parameters})


def _single(
    port: int, lines: Sequence[Line], options: argparse.Namespace, headers: str, *, known: bool
) -> list[list[bytes]]:
    """The requests of each client: one task each, no text twice."""
    each = options.requests
    return [
        [raw(port, "/predict", _body(_tasks(lines, [c * each + i], known=known)), headers) for i in range(each)]
        for c in range(options.clients)
    ]


def _large(port: int, process: psutil.Process, body: bytes, basic: str) -> dict[str, object]:
    before = process.memory_info().rss
    highest, ended = [before], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            highest[0] = max(highest[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.perf_counter()
    headers = {"Authorization": f"Basic {basic}"} if basic else {}
    headers["Content-Type"] = "application/json"
    answer = httpx.post(
        f"http://127.0.0.1:{port}/predict", content=body, headers=headers, timeout=600, trust_env=False
    ).raise_for_status()
    took = time.perf_counter() - start
    ended.set()
    watcher.join()
    return {
        "tasks": len(answer.json()["results"]),
        "body_mb": len(body) / 1e6,
        "seconds": took,
        "rss_before_mb": before / (1 << 20),
        "extra_rss_mb": (highest[0] - before) / (1 << 20),
    }


def _beside(port: int, lines: Sequence[Line], basic: str, options: argparse.Namespace) -> dict[str, object]:
    """Single requests of one client while a large one is under way."""
    url, headers = f"http://127.0.0.1:{port}/predict", {"Authorization": f"Basic {basic}"}
    body = _body(_tasks(lines, range(options.tasks)))
    asking = threading.Thread(
        target=lambda: httpx.post(url, content=body, headers=headers, timeout=600, trust_env=False).raise_for_status()
    )
    requests = _single(
        port, lines, argparse.Namespace(clients=1, requests=2_000), f"Authorization: Basic {basic}\r\n", known=False
    )

    async def ask_while_it_lasts() -> Answers:
        answers, start = Answers(), time.perf_counter()
        for request in requests[0]:
            if not asking.is_alive():
                break
            await ask(port, [request], answers.seconds)
        answers.wall = time.perf_counter() - start
        return answers

    asking.start()
    figures = asyncio.run(ask_while_it_lasts()).figures()
    asking.join()
    return {"clients": 1, **figures}


if __name__ == "__main__":
    main()
