"""A worker as a process of its own, and what its broker still holds."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import Engine, text

from pipeline.settings import Settings
from saring.services import LabelStudioAccess, ensure_broker
from saring.services.valkey import client
from saring.workers.app import QUEUES, make_app
from tests.support.waiting import until


def settings_of(environment: dict[str, str], label_studio: LabelStudioAccess) -> Settings:
    """The test's database, an empty home, and the Label Studio that all tests share."""
    return Settings(
        home=Path(environment["SARING_HOME"]),
        database_url=environment["SARING_DATABASE_URL"],
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.api_key,
    )


@contextmanager
def working(
    environment: dict[str, str], label_studio: LabelStudioAccess, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `saring worker` until the block ends."""
    ready = Path(environment["SARING_HOME"]) / "ready"
    ready.unlink(missing_ok=True)
    own = {
        "SARING_READY_FILE": str(ready),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.api_key,
    }
    if "--beat" in arguments:
        # a schedule outlives those who keep it: the next ones need not wait a minute for their turn
        own["SARING_PULL_SECONDS"] = "2"
    # what it says is shown with a test that fails
    command = [sys.executable, "-m", "saring", "worker", *arguments]
    with subprocess.Popen(command, env=environment | own, start_new_session=True) as process:
        try:
            until(lambda: ready.exists() or process.poll() is not None, "the worker takes work")
            assert process.poll() is None, "the worker ended"
            yield process
        finally:
            kill_all(process)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """End a worker and all its children at once, as a machine that loses power does."""
    family = [psutil.Process(process.pid), *children(process)] if process.poll() is None else []
    for one in family:
        one.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(family)


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that carry out a worker's jobs."""
    return psutil.Process(process.pid).children(recursive=True)


def send(settings: Settings, *names: str) -> None:
    """Send jobs by name, as whoever has no code of theirs would."""
    app = make_app(ensure_broker(settings))
    for name in names:
        app.send_task(name)
    app.close()


def wait_until_idle(settings: Settings) -> None:
    """Wait until the broker holds no job, taken or not: each was carried out and confirmed."""
    with client(ensure_broker(settings)) as broker:
        until(
            lambda: not any(broker.llen(queue) for queue in QUEUES) and not broker.hlen("unacked"),
            "all jobs are done and confirmed",
        )


def is_waiting_for_a_lock(engine: Engine) -> bool:
    """Whether somebody in this test's database stands before a lock that another holds."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.connect() as connection:
        return connection.execute(text(waiting)).first() is not None


@contextmanager
def nobody_writes(engine: Engine, table: str) -> Iterator[None]:
    """Have everybody wait who would write to a table, until the block ends."""
    with engine.connect() as connection, connection.begin():
        connection.execute(text(f"LOCK TABLE {table} IN EXCLUSIVE MODE"))
        yield
