"""A home of its own with a store, a broker and workers, for the benchmarks of work that is spread over workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from _worker import Environment, app_of
from celery import Celery

from pipeline.runs.book import open_run
from pipeline.runs.stage import Stage
from pipeline.runs.tasks import send_shards
from pipeline.runs.watch import RunStatus, status
from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.store.migrate import upgrade
from pipeline.store.session import open_session
from saring.context import Context
from saring.services import ensure_database, stop_services
from saring.services.programs import settings_environment

_ROOT = Path(__file__).resolve().parents[1]
_POLL_SECONDS = 0.05
_TIMEOUT_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Home:
    """A home, its store, and what sends work to its workers."""

    context: Context
    environment: Environment
    app: Celery


@dataclass(frozen=True, slots=True)
class Sent:
    """A run that was handed to the workers, and what that took."""

    run_id: int
    plan_seconds: float
    open_seconds: float
    send_seconds: float


@contextmanager
def temporary_home() -> Iterator[Home]:
    """An empty home with its own PostgreSQL and Valkey, as `saring up` starts them."""
    home = Path(tempfile.mkdtemp(prefix="saring-bench-"))
    settings = Settings(home=home)
    context = Context(settings)
    environment = Environment(lambda: context)
    try:
        engine = make_engine(ensure_database(settings))
        upgrade(engine)
        engine.dispose()
        app = app_of(settings, environment)
        yield Home(context, environment, app)
        # Celery listens for the result of each task that it sent, and would fail once the broker is gone.
        app.backend.result_consumer.subscribed_to.clear()
    finally:
        context.close()
        stop_services(settings)
        shutil.rmtree(home)


@contextmanager
def worker(home: Home, concurrency: int) -> Iterator[psutil.Process]:
    """A worker process with so many children, gone when the block ends."""
    script = Path(__file__).with_name("_worker.py")
    environment = settings_environment(home.context.settings) | {"PYTHONPATH": str(_ROOT)}
    log = home.context.settings.home / "worker.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(script), "--concurrency", str(concurrency)],
            env=environment,
            cwd=_ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        _until_it_answers(home, process)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_it_answers(home: Home, process: subprocess.Popen[bytes]) -> None:
    ended = time.monotonic() + _TIMEOUT_SECONDS
    while not home.app.control.inspect(timeout=0.5).ping():
        if process.poll() is not None or time.monotonic() > ended:
            raise SystemExit("the worker did not start")


def children(process: psutil.Process) -> list[psutil.Process]:
    """The children of a worker that carry out its tasks."""
    return process.children()


def send(home: Home, stage: Stage[Any, Any], params: Any) -> Sent:
    """Hand a stage to the workers, as `--async` does."""
    start = time.perf_counter()
    plan = stage.plan(home.context, params)
    planned = time.perf_counter()
    run_id, numbers = open_run(home.context.engine, stage.name, plan)
    opened = time.perf_counter()
    send_shards(home.app, home.environment, run_id, numbers)
    return Sent(run_id, planned - start, opened - planned, time.perf_counter() - opened)


def wait(home: Home, run_id: int) -> RunStatus:
    """Wait for the end of a run; an error or a parked shard ends the benchmark."""
    ended = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < ended:
        with open_session(home.context.engine) as session:
            run_status = status(session, run_id)
        if run_status.is_over:
            if run_status.error is not None:
                raise SystemExit(f"run {run_id} ended as {run_status.state}: {run_status.error}")
            return run_status
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"run {run_id} did not end in {_TIMEOUT_SECONDS} s")


def machine() -> dict[str, object]:
    """Facts about the machine that belong to any figure."""
    return {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
