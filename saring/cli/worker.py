"""The commands that carry out jobs: worker, beat."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from celery.signals import worker_ready

from saring.celery_app import QUEUES, make_app
from saring.cli import common
from saring.services import ensure_broker

#: keeps nothing between starts: the one that does keeps it as a pickle
_SCHEDULER = "celery.beat:Scheduler"


def worker_command(
    queues: Annotated[str, typer.Option(help="Kinds of jobs to take, by comma.")] = ",".join(QUEUES),
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs at a time.")] = 2,
    beat: Annotated[bool, typer.Option("--beat", help="Send the regular jobs too. Of all workers, one does.")] = False,
) -> None:
    """Carry out jobs until stopped: pulling, writing predictions ahead, retraining.

    Any number of workers may run, on any number of machines that reach the same store and broker.

    Example: saring worker --queues io --concurrency 4
    """
    ctx = common.context()
    app = make_app(ensure_broker(ctx.settings))
    ready = os.environ.get("SARING_READY_FILE")
    if ready:

        def say_ready(**_: Any) -> None:
            Path(ready).touch(mode=0o600)

        worker_ready.connect(say_ready, weak=False)

    arguments = ["worker", "--queues", queues, "--concurrency", str(concurrency), "--loglevel", "INFO"]
    if beat:
        arguments += ["--beat", "--scheduler", _SCHEDULER]
    app.worker_main(arguments)


def beat_command() -> None:
    """Send the regular jobs, when no worker does.

    Example: saring beat
    """
    ctx = common.context()
    app = make_app(ensure_broker(ctx.settings))
    app.Beat(scheduler=_SCHEDULER, loglevel="INFO").run()
