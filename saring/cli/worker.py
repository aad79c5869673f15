"""The commands of the long-running processes: worker, beat (scheduler) and keep (watchdog)."""

from __future__ import annotations

import os
import signal
import threading
from typing import Annotated, Any

import typer
from celery.signals import beat_init, setup_logging, worker_ready

from saring.cli import output
from saring.services import ensure_broker
from saring.services.keeper import PARTS
from saring.services.programs import say_ready
from saring.workers import heartbeat
from saring.workers.app import QUEUES, make_app
from saring.workers.logs import log_to_stderr

#: scheduler that stores the schedule in the broker: any machine may send the jobs, and only one does at a time
_SCHEDULER = "redbeat.RedBeatScheduler"


def worker_command(
    queues: Annotated[str, typer.Option(help="Queues to take jobs from, with commas.")] = ",".join(QUEUES),
    concurrency: Annotated[int, typer.Option(min=1, help="Number of jobs at the same time.")] = 2,
    beat: Annotated[bool, typer.Option("--beat", help="Send the regular jobs too.")] = False,
) -> None:
    """Run a worker until it is stopped. It takes jobs: shards of runs, pulls, predictions for open tasks, retraining.

    You can run any number of workers, on any machines that reach the same store and broker.

    Example: saring worker --queues io --concurrency 4
    """
    # This import loads every stage, which beat and keep do not need.
    from saring.workers.environment import WorkEnvironment

    settings = output.home().settings
    _log_as(settings.log_format)
    worker_ready.connect(_say_ready, weak=False)
    app = make_app(ensure_broker(settings), WorkEnvironment(), settings)
    # Several workers on one machine need different names.
    name = f"saring-{os.getpid()}@%h"
    arguments = [
        "worker",
        "--hostname",
        name,
        "--queues",
        queues,
        "--concurrency",
        str(concurrency),
        "--loglevel",
        "INFO",
    ]
    if beat:
        arguments += ["--beat", "--scheduler", _SCHEDULER]
    heartbeat.keep_of_worker()
    app.worker_main(arguments)


def beat_command() -> None:
    """Run the scheduler, which sends the regular jobs. If several run, one sends and the others wait.

    Example: saring beat
    """
    settings = output.home().settings
    _log_as(settings.log_format)
    # This comes before RedBeat's own handler, which waits until no other scheduler sends.
    beat_init.connect(_say_ready, weak=False)
    app = make_app(ensure_broker(settings), settings=settings, carries_out=False)
    heartbeat.keep_of_schedule()
    app.Beat(scheduler=_SCHEDULER, loglevel="INFO").run()


def keep_command(
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help=f"Do not watch this service ({', '.join(PARTS)}). May be repeated."),
    ] = None,
) -> None:
    """Run the watchdog: restart services of this home that stop. `saring up` starts it.

    Example: saring keep --without label-studio
    """
    settings = output.home().settings
    log_to_stderr(settings.log_format)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: stopped.set())
    say_ready()
    from saring.services.keeper import keep

    keep(settings, frozenset(without or ()), stopped)


def _log_as(form: str) -> None:
    def configure(**_: Any) -> None:
        log_to_stderr(form)

    # Celery leaves its logging alone if this signal has a handler.
    setup_logging.connect(configure, weak=False)


def _say_ready(**_: Any) -> None:
    say_ready()
