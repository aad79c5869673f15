"""All work of a home at once, for as long as its processes are killed (`chaos.py`)."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import httpx
import orjson

from pipeline.backend_credentials import backend_credentials
from saring.services import label_studio_access
from saring.services.programs import Backend
from tests.support.chaos import World, new_text
from tests.support.chaos_models import ODD, STEADY

_Job = Callable[[random.Random], None]


def load(
    world: World,
    stopped: threading.Event,
    *,
    seed: int,
    pause: tuple[float, float] = (0.2, 1.5),
    visits: tuple[float, float] = (1.0, 4.0),
) -> list[threading.Thread]:
    """Start all work of a home at the same time; it goes on until `stopped` is set.

    Args:
        world: the home.
        stopped: ends the load when set.
        seed: of what is done, and when.
        pause: seconds between a command and the next of its kind, at least and at most.
        visits: seconds between a visit of a phone, an application or a browser and its next one, at least and at most.
    """
    raters = itertools.cycle(((ODD, "40"), (STEADY, "40"), ("bootstrap", "400")))
    jobs: list[tuple[str, _Job]] = [
        ("ingest", lambda rng: _ingest(world, rng)),
        ("embed", lambda _: _give(world, "embed", "--async")),
        ("judge", lambda _: _judge(world, *next(raters))),
        ("filter", lambda _: _give(world, "filter", "--async")),
        ("train", lambda _: _train(world)),
        ("predict", lambda rng: _predict(world, rng)),
    ]
    callers: list[tuple[str, _Job]] = [
        ("maintainer", world.door.maintainer.visit),
        *((f"phone {n}", phone.visit) for n, phone in enumerate(world.door.phones)),
        *((f"application {n}", application.visit) for n, application in enumerate(world.door.applications)),
    ]
    if world.label_studio:
        jobs += [
            ("queue", lambda _: _queue(world)),
            ("volunteers", lambda rng: _annotate(world, rng)),
        ]

    def repeat(job: _Job, rng: random.Random, between: tuple[float, float]) -> None:
        while not stopped.is_set():
            job(rng)
            stopped.wait(rng.uniform(*between))

    threads = [
        threading.Thread(target=repeat, args=(job, random.Random(f"{seed} {name}"), between), name=name, daemon=True)
        for some, between in ((jobs, pause), (callers, visits))
        for name, job in some
    ]
    world.began_at = datetime.now(UTC)
    for thread in threads:
        thread.start()
    return threads


def join_all(threads: Sequence[threading.Thread], *, seconds: float) -> list[str]:
    """Wait for threads for so many seconds in all; return the names of those that did not end."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(timeout=max(0.0, deadline - time.monotonic()))
    return [thread.name for thread in threads if thread.is_alive()]


def _give(world: World, *arguments: str) -> None:
    world.saring(*arguments)


def _judge(world: World, rater: str, limit: str) -> None:
    world.saring("judge", "--rater", rater, "--limit", limit, "--async")


def _train(world: World) -> None:
    made = world.saring("train", "--async")
    if made is not None:
        world.trained.add(made["model"])


def _ingest(world: World, rng: random.Random) -> None:
    rows = [new_text(rng) for _ in range(10)]
    path = world.home / f"stream-{rng.getrandbits(64):016x}.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": row}) + b"\n" for row in rows))
    # The same file again until it is in: a second ingest must change nothing.
    for _ in range(20):
        if world.saring("ingest", str(path), "--source", "stream") is not None:
            world.ingested |= set(rows)
            return


def _queue(world: World) -> None:
    world.saring("queue", "build", "--size", "40", "--async")
    world.saring("sync", "push", "--limit", "20", "--async")


def _annotate(world: World, rng: random.Random) -> None:
    access = label_studio_access(world.settings)
    if access is None:
        return
    labels = ("hate", "safe for work", "informative", "violence")
    headers = {"Authorization": f"Token {access.api_key}"}
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.Client(base_url=access.url, headers=headers, timeout=20, trust_env=False) as api,
    ):
        for project in api.get("/api/projects/").raise_for_status().json()["results"]:
            answer = api.get(f"/api/projects/{project['id']}/next")
            if answer.status_code != httpx.codes.OK:
                continue
            task = answer.json()["id"]
            chosen = tuple(sorted(rng.sample(labels, rng.randint(1, 2)))) if rng.random() < 0.5 else ("safe for work",)
            if "safe for work" in chosen:
                chosen = ("safe for work",)
            region = {
                "id": "labels",
                "from_name": "labels",
                "to_name": "text",
                "type": "choices",
                "value": {"choices": list(chosen)},
            }
            made = api.post(f"/api/tasks/{task}/annotations/", json={"result": [region], "lead_time": 4.0})
            if made.status_code == httpx.codes.CREATED:
                world.annotated[made.json()["id"]] = (task, chosen)


def _predict(world: World, rng: random.Random) -> None:
    address = Backend(world.settings).port.url()
    if address is None:
        return
    credentials = backend_credentials(world.settings)
    body = {"tasks": [{"id": 1, "data": {"text": f"apa khabar {rng.random()}"}}], "label_config": "<View/>"}
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(
            f"{address}/predict",
            json=body,
            auth=(credentials.user, credentials.password),
            timeout=10,
            trust_env=False,
        )
