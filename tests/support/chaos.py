"""A home under load whose processes are killed at random moments; `chaos_checks.py` says what must be true afterwards.

Used by `benchmarks/chaos.py` and, in short, by the tests. Nothing here knows how Saring recovers: the load goes through
the command line, Label Studio's API and the backend's HTTP API, and the killer sends SIGKILL.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil

from pipeline.backend_credentials import backend_credentials
from pipeline.errors import SaringError
from pipeline.settings import load_settings
from saring.services import label_studio_access, loop_status, service_status

_ROOT = Path(__file__).resolve().parents[2]
#: names of processes in `saring status`
KILLABLE = ("PostgreSQL", "Valkey", "Label Studio", "ML backend", "worker", "io-worker", "beat", "keeper")


@dataclass
class World:
    """A home, with access to it."""

    home: Path
    environment: dict[str, str]
    #: confirmed data: annotations by Label Studio (id to labels), texts by an ingest that succeeded
    annotated: dict[int, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    ingested: set[str] = field(default_factory=set)
    commands: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: commands under way, which may be killed as well
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Any:
        """The home's settings."""
        with _environment(self.environment):
            return load_settings()

    def saring(self, *arguments: str, retry: bool = False) -> dict[str, Any] | None:
        """Run a command; return its JSON output, or None if it failed. With `retry`, repeat it until it succeeds."""
        while True:
            with subprocess.Popen(
                [sys.executable, "-m", "saring", *arguments, "--json"],
                env=self.environment,
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                with self.lock:
                    self.running.append(process)
                out, err = process.communicate()
                with self.lock:
                    self.running.remove(process)
            name = " ".join(arguments[:2]) if arguments[0] in ("sync", "queue", "models") else arguments[0]
            self.commands[name] += 1
            if process.returncode == 0:
                return json.loads(out) if out.strip() else {}
            lines = err.decode(errors="replace").strip().splitlines()
            self.failures[f"{name}: {lines[-1] if lines else f'status {process.returncode}'}"[:160]] += 1
            if not retry:
                return None
            time.sleep(1)


def make_world(home: Path, *, label_studio: bool, seed: int) -> World:
    """A home with everything running, some texts judged, and a project with tasks."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SARING_")}
    environment |= {
        "SARING_HOME": str(home),
        "PYTHONPATH": str(_ROOT),
        "SARING_PULL_SECONDS": "3",
        "SARING_LOOK_SECONDS": "2",
        "SARING_RESEND_SECONDS": "5",
        "SARING_RETRAIN_LABELS": "15",
        "SARING_SEED": str(seed),
    }
    if "SARING_LABEL_STUDIO_ENV" in os.environ:
        environment["SARING_LABEL_STUDIO_ENV"] = os.environ["SARING_LABEL_STUDIO_ENV"]
    world = World(home, environment)
    left_out = [] if label_studio else ["--without", "label-studio"]
    world.saring("up", *left_out, retry=True)
    rng = random.Random(seed)
    lines = _demo_lines()
    # A labelled data set, to train from.
    labelled = home / "labelled.jsonl"
    chosen = rng.sample(lines, 240)
    labelled.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in chosen))
    world.saring("import", str(labelled), "--source", "labelled", "--labels-field", "labels", retry=True)
    world.ingested |= {row["text"] for row in chosen}
    if label_studio:
        world.saring("sync", "setup", retry=True)
        world.saring("queue", "build", "--size", "40", retry=True)
        world.saring("sync", "push", "--limit", "20", retry=True)
    return world


def _demo_lines() -> list[dict[str, Any]]:
    rows = []
    for path in sorted((_ROOT / "saring/demo/corpus").glob("*.jsonl")):
        rows += [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return [row for row in rows if row.get("labels") or row.get("not_labels")]


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# ---- load


def load(
    world: World,
    stopped: threading.Event,
    *,
    label_studio: bool,
    seed: int,
    pause: tuple[float, float] = (0.2, 1.5),
) -> list[threading.Thread]:
    """Start all work of a home at the same time; it goes on until `stopped` is set.

    Args:
        world: the home.
        stopped: ends the load when set.
        label_studio: there is one, so that tasks are pushed and annotated.
        seed: of what is done, and when.
        pause: seconds between a command and the next of its kind, at least and at most.
    """
    settings = world.settings
    jobs: list[tuple[str, Callable[[random.Random], None]]] = [
        ("ingest", lambda rng: _ingest(world, rng)),
        ("embed", lambda _: _give(world, "embed", "--async")),
        ("judge", lambda _: _give(world, "judge", "--async")),
        ("filter", lambda _: _give(world, "filter", "--async")),
        ("train", lambda _: _give(world, "train", "--async")),
        ("predict", lambda rng: _predict(settings, rng)),
    ]
    if label_studio:
        jobs += [
            ("queue", lambda _: _queue(world)),
            ("volunteers", lambda rng: _annotate(world, settings, rng)),
        ]

    def repeat(job: Callable[[random.Random], None], rng: random.Random) -> None:
        while not stopped.is_set():
            job(rng)
            stopped.wait(rng.uniform(*pause))

    threads = [
        threading.Thread(target=repeat, args=(job, random.Random(f"{seed} {name}")), name=name, daemon=True)
        for name, job in jobs
    ]
    for thread in threads:
        thread.start()
    return threads


def _give(world: World, *arguments: str) -> None:
    world.saring(*arguments)


def _ingest(world: World, rng: random.Random) -> None:
    words = sorted({word for line in _demo_lines() for word in line["text"].split()})
    rows = [" ".join(rng.sample(words, rng.randint(8, 14))) for _ in range(10)]
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


def _annotate(world: World, settings: Any, rng: random.Random) -> None:
    access = label_studio_access(settings)
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


def _predict(settings: Any, rng: random.Random) -> None:
    backend = next(
        (process_status for process_status in loop_status(settings) if process_status.name == "ML backend"), None
    )
    if backend is None or not backend.address.startswith("http"):
        return
    credentials = backend_credentials(settings)
    body = {"tasks": [{"id": 1, "data": {"text": f"apa khabar {rng.random()}"}}], "label_config": "<View/>"}
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(
            f"{backend.address}/predict",
            json=body,
            auth=(credentials.user, credentials.password),
            timeout=10,
            trust_env=False,
        )


# ---- the killer


def kill_something(world: World, rng: random.Random, kinds: Sequence[str]) -> str | None:
    """Send SIGKILL to a process of a random kind; return the kind, or None if it does not run at the moment."""
    kind = rng.choice(kinds)
    if kind == "command":
        with world.lock:
            running = [process for process in world.running if process.poll() is None]
        if not running:
            return None
        rng.choice(running).kill()
        return kind
    process = _process(world, rng.choice(("worker", "io-worker")) if kind == "worker child" else kind)
    if process is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        children = process.children(recursive=True)
        if kind == "worker child":
            if not children:
                return None
            rng.choice(children).kill()
            return kind
        # A machine that loses power kills the children too.
        for victim in (process, *children):
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        return kind
    return None


def _process(world: World, name: str) -> psutil.Process | None:
    with contextlib.suppress(SaringError, psutil.NoSuchProcess):
        for process_status in (*service_status(world.settings), *loop_status(world.settings)):
            if process_status.name == name and process_status.pid is not None:
                return psutil.Process(process_status.pid)
    return None


def supervise(world: World, stopped: threading.Event, *, label_studio: bool) -> threading.Thread:
    """Stand in for the machine's supervisor: start the keeper again when it dies; the keeper starts the rest."""

    def watch() -> None:
        while not stopped.wait(1):
            if _process(world, "keeper") is None:
                world.saring("up", *([] if label_studio else ["--without", "label-studio"]))

    thread = threading.Thread(target=watch, name="supervisor", daemon=True)
    thread.start()
    return thread
