"""A home whose processes are killed at random moments.

`chaos_load.py` has the load, `chaos_checks.py` what must be true afterwards.

Used by `benchmarks/chaos.py` and, in short, by the tests. Nothing here knows how Saring recovers: the load goes through
the command line, Label Studio's API and what `saring serve` serves, and the killer sends SIGKILL.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import orjson
import psutil

from pipeline.settings import Settings, load_settings
from saring.home import Home
from saring.services.label_studio import LabelStudio
from saring.services.label_studio_install import environment
from saring.services.places import Places
from saring.services.postgres import Postgres
from saring.services.programs import Backend, beat_program, io_worker_program, keeper_program, worker_program
from saring.services.server import Server, find_process, is_alive
from saring.services.valkey import Valkey
from tests.support.chaos_door import Door, open_door
from tests.support.chaos_models import describe_raters, make_models
from tests.support.llm_server import LlmServer

_ROOT = Path(__file__).resolve().parents[2]
#: names of processes in `saring status`
KILLABLE = ("PostgreSQL", "Valkey", "Label Studio", "ML backend", "worker", "io-worker", "beat", "keeper")
#: lines of each log that a failed check shows
_LOG_LINES = 15


@dataclass
class World:
    """A home, with access to it."""

    home: Path
    environment: dict[str, str]
    #: True: there is a Label Studio
    label_studio: bool
    #: confirmed data: annotations by Label Studio (id to labels), texts by an ingest and models by a training that
    #: succeeded
    annotated: dict[int, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    ingested: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)
    #: texts that were there before the load began, and when it did
    imported: set[str] = field(default_factory=set)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    commands: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    #: number of volunteers with phones, and of applications
    phones: int = 0
    applications: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: commands under way, which may be killed as well
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def left_out(self) -> list[str]:
        """What `saring up` is told to leave out."""
        return [] if self.label_studio else ["--without", "label-studio"]

    @cached_property
    def settings(self) -> Settings:
        """The home's settings."""
        with _environment(self.environment):
            return load_settings()

    @cached_property
    def door(self) -> Door:
        """Those who come to `saring serve`; everything runs when they are let in."""
        with Home(settings=self.settings) as home:
            return open_door(
                home, Backend(self.settings).port.url, new_text, phones=self.phones, applications=self.applications
            )

    def confirmed(self) -> dict[str, int]:
        """The number of things that were confirmed under load, by kind."""
        asked = sum(len(one.reported) for one in self.door.applications)
        counts = {
            "commands": self.commands.total() - self.failures.total(),
            "texts": len(self.ingested),
            "models": len(self.trained),
            "reports": asked,
            "verdicts": sum(one.verdicts for one in self.door.applications),
            "pages": self.door.maintainer.read,
            "runs that were asked for in a browser": len(self.door.maintainer.asked),
        }
        if self.label_studio:
            answers = sum(len(phone.kept) for phone in self.door.phones)
            counts |= {"annotations": len(self.annotated), "answers of phones": answers}
        return counts

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

    def state(self) -> str:
        """What runs, which runs are not over, and the end of each log: for the message of a check that failed."""
        parts = [f"{one.name}: {'alive' if is_alive(one) else 'DEAD'}" for one in _servers(self.settings)]
        parts.append(json.dumps(self.saring("runs", "list")))
        for log in sorted((self.home / "services").glob("*.log")):
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            parts += [f"---- {log.name}", *last]
        return "\n".join(parts)


@contextlib.contextmanager
def open_world(home: Path, *, label_studio: bool, seed: int, people: int = 3) -> Iterator[World]:
    """A home with everything running, some texts judged, a project with tasks, and people and programs let in.

    Its services go on running afterwards.

    Args:
        home: an empty folder.
        label_studio: there is one.
        seed: of everything that is drawn.
        people: number of volunteers with phones, and of applications.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SARING_")}
    environment |= {
        "SARING_HOME": str(home),
        "PYTHONPATH": str(_ROOT),
        "SARING_PULL_SECONDS": "3",
        "SARING_LOOK_SECONDS": "2",
        "SARING_RESEND_SECONDS": "5",
        "SARING_RETRAIN_LABELS": "15",
        "SARING_SEED": str(seed),
        # so that a training is short, and there are many
        "SARING_TRAIN_VECTORS": "false",
    }
    if "SARING_LABEL_STUDIO_ENV" in os.environ:
        environment["SARING_LABEL_STUDIO_ENV"] = os.environ["SARING_LABEL_STUDIO_ENV"]
    world = World(home, environment, label_studio, phones=people if label_studio else 0, applications=people)
    with make_models(seed) as models, contextlib.closing(_fill(world, models, seed)):
        yield world


def _fill(world: World, models: LlmServer, seed: int) -> Door:
    describe_raters(world.home, models)
    world.saring("up", *world.left_out, retry=True)
    # A labelled data set, to train from.
    labelled = world.home / "labelled.jsonl"
    chosen = random.Random(seed).sample(_demo_lines(), 240)
    labelled.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in chosen))
    world.saring("import", str(labelled), "--source", "labelled", "--labels-field", "labels", retry=True)
    world.imported |= {row["text"] for row in chosen}
    if world.label_studio:
        world.saring("sync", "setup", retry=True)
        world.saring("queue", "build", "--size", "40", retry=True)
        world.saring("sync", "push", "--limit", "40", retry=True)
    return world.door


def new_text(rng: random.Random) -> str:
    """Words of the demonstration, in an order that nobody has written yet."""
    return " ".join(rng.sample(_demo_words(), rng.randint(8, 14)))


@cache
def _demo_words() -> list[str]:
    return sorted({word for line in _demo_lines() for word in line["text"].split()})


@cache
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
    """The process of that name, if it lives. It is asked nothing, which would take its time."""
    [server] = [one for one in _servers(world.settings) if one.name == name]
    return find_process(server.pid_file, server.process_name, server.data) if is_alive(server) else None


def _servers(settings: Settings) -> Sequence[Server]:
    places = Places(settings.home)
    return (
        Postgres(places),
        Valkey(places),
        LabelStudio(places, environment(settings)),
        Backend(settings),
        *(make(settings) for make in (worker_program, io_worker_program, beat_program, keeper_program)),
    )


def supervise(world: World, retired: threading.Event) -> threading.Thread:
    """Stand in for the machine's supervisor: start the keeper again when it dies; the keeper starts the rest.

    Args:
        world: the home.
        retired: ends the supervision when set. Set it after the load has ended: commands that wait for a worker wait
            for ever where neither the worker nor the keeper is started again.
    """

    def watch() -> None:
        while not retired.wait(1):
            if _process(world, "keeper") is None:
                world.saring("up", *world.left_out)

    thread = threading.Thread(target=watch, name="supervisor", daemon=True)
    thread.start()
    return thread
