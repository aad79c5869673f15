"""The commands of the processes that stay: worker, beat, keep."""

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

#: keeps the schedule in the broker, so that any machine may send the jobs, and one at a time does
_SCHEDULER = "redbeat.RedBeatScheduler"


def worker_command(
    queues: Annotated[str, typer.Option(help="Kinds of work to take, by comma.")] = ",".join(QUEUES),
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs at a time.")] = 2,
    beat: Annotated[bool, typer.Option("--beat", help="Send the regular jobs too.")] = False,
) -> None:
    """Carry out jobs until stopped: the shards of runs, pulling, writing predictions ahead, retraining.

    Any number of workers may run, on any number of machines that reach the same store and broker.

    Example: saring worker --queues io --concurrency 4
    """
    # loads every stage, which beat and keep have no use for
    from saring.workers.environment import WorkEnvironment

    settings = output.home().settings
    _log_as(settings.log_format)
    worker_ready.connect(_say_ready, weak=False)
    app = make_app(ensure_broker(settings), WorkEnvironment(), settings)
    # several workers of one machine need names of their own
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
    """Send the regular jobs. Where several do, one sends and the others stand by.

    Example: saring beat
    """
    settings = output.home().settings
    _log_as(settings.log_format)
    # before RedBeat, which waits here for its turn
    beat_init.connect(_say_ready, weak=False)
    app = make_app(ensure_broker(settings), settings=settings, carries_out=False)
    heartbeat.keep_of_schedule()
    app.Beat(scheduler=_SCHEDULER, loglevel="INFO").run()


def keep_command(
    without: Annotated[
        list[str] | None, typer.Option("--without", help=f"Leave this out ({', '.join(PARTS)}). May be repeated.")
    ] = None,
) -> None:
    """Start again what dies of this home, until stopped. `saring up` starts it.

    Example: saring keep --without label-studio
    """
    settings = output.home().settings
    log_to_stderr(settings.log_format)
    stopped = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(one, lambda *_: stopped.set())
    say_ready()
    from saring.services.keeper import keep

    keep(settings, frozenset(without or ()), stopped)


def _log_as(form: str) -> None:
    def configure(**_: Any) -> None:
        log_to_stderr(form)

    # Celery leaves all logging to whoever listens here
    setup_logging.connect(configure, weak=False)


def _say_ready(**_: Any) -> None:
    say_ready()
