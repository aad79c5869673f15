"""Cost of label-studio-sdk on our side of the wire: its import, and making and reading of bodies.

The server is left out: answers come from memory. Beside the SDK's calls, the same bodies are made and read by orjson.
Prints JSON lines; times are of the processor.

    python benchmarks/sdk.py [--tasks 10000]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from statistics import median
from typing import Any

import httpx
import orjson
from _measure import emit
from label_studio_sdk.base_client import LabelStudioBase

from pipeline.preannotation.label_studio_format import ticks

_URL = "http://label-studio.example"
_RUNS = 5
_IMPORTS = ("label_studio_sdk.client", "label_studio_sdk.base_client", "label_studio_sdk.label_interface")
_MOMENT = "2026-01-01T00:00:00.123456Z"
#: tasks of a page, as a pull asks for them
_PAGE = 1_000


def main() -> None:
    """Measure imports, then bodies."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tasks", type=int, default=10_000)
    count = arguments.parse_args().tasks
    for module in ("sys", *_IMPORTS):
        emit("sdk", {"what": "import", "module": module} | _import(module))
    tasks = [_task() for _ in range(count)]
    predictions = [prediction | {"task": i} for i, task in enumerate(tasks) for prediction in task["predictions"]]
    region = ticks(["hate"])
    annotation = {"id": 1, "created_at": _MOMENT, "updated_at": _MOMENT, "completed_by": 1, "result": [region]}
    listed = [
        {"id": i, "created_at": _MOMENT, "updated_at": _MOMENT, "data": task["data"], "annotations": [annotation]}
        for i, task in enumerate(tasks[:_PAGE])
    ]
    page = orjson.dumps({"tasks": listed, "total": count, "total_annotations": count, "total_predictions": 0})

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, content=page)
        return httpx.Response(201, json={"task_ids": list(range(count)), "created": count})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        sdk = LabelStudioBase(base_url=_URL, api_key="none", httpx_client=client, max_retries=0)
        by_sdk: dict[str, Callable[[], object]] = {
            "import tasks": lambda: sdk.projects.import_tasks(1, request=tasks, return_task_ids=True),
            "import predictions": lambda: sdk.projects.import_predictions(1, request=predictions),
            "list tasks": lambda: sdk.tasks.list(project=1, page_size=_PAGE).items,
        }
        by_orjson: dict[str, Callable[[], object]] = {
            "import tasks": lambda: client.post(_URL, content=orjson.dumps(tasks)).json(),
            "import predictions": lambda: client.post(_URL, content=orjson.dumps(predictions)).json(),
            "list tasks": lambda: orjson.loads(client.get(_URL).content),
        }
        for who, calls in (("label-studio-sdk", by_sdk), ("orjson", by_orjson)):
            for what, call in calls.items():
                some = len(listed) if what == "list tasks" else count
                emit("sdk", {"who": who, "what": what, "tasks": some, "us_each": _cpu_seconds(call) / some * 1e6})


def _import(module: str) -> dict[str, float]:
    """Seconds of the processor, and memory, of a process that imports a module; medians."""
    usage = "import psutil; own = psutil.Process(); print(sum(own.cpu_times()[:2]), own.memory_info().rss)"
    command = [sys.executable, "-c", f"import {module}; {usage}"]
    runs = [subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split() for _ in range(_RUNS)]
    return {"cpu_s": median(float(run[0]) for run in runs), "mb": median(float(run[1]) / 2**20 for run in runs)}


def _cpu_seconds(call: Callable[[], object]) -> float:
    """Seconds of the processor that a call takes; median of several, after one that is not counted."""
    call()
    seconds = []
    for _ in range(_RUNS):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return median(seconds)


def _task() -> dict[str, Any]:
    """A task as a push sends it."""
    data = {
        "text": "ini satu ayat yang agak panjang untuk diukur, dan sedikit lagi supaya serupa dengan yang sebenar",
        "text_id": str(uuid.uuid4()),
        "batch": "0123456789abcdef",
        "why": "hate: the words say so\nharassment: a language model says so",
        "confidence": 0.7,
        "queue": "random",
        "lang": "ms",
    }
    return {"data": data, "predictions": [{"result": [ticks(["hate"])], "score": 0.5, "model_version": "ahead-1"}]}


if __name__ == "__main__":
    main()
