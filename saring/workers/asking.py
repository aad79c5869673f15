"""Work asked of the workers by somebody who does not wait for it, such as a page: start, resume, retrain now.

What was asked for is in the store before a message is sent. So a broker that is away loses nothing: the schedule sends
the message later.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy import insert

from pipeline import store
from pipeline.errors import ServiceError
from pipeline.runs.book import reopen_run
from pipeline.settings import Settings
from saring.actions.starting.catalogue import ask, startable
from saring.context import Context
from saring.services import ensure_broker
from saring.workers.app import QUEUES, Sender, job_sender, make_app
from saring.workers.jobs import TRAINING_BUTTON

log = logging.getLogger(__name__)

#: time in which workers answer, in seconds
_ASK_SECONDS = 0.5


def start(home: Context, stage: str, given: Mapping[str, Any], *, by: str = "") -> int:
    """Ask the workers to start a stage, and return the request's id at once.

    Args:
        home: the home with the store.
        stage: name of the stage.
        given: what was typed into its form, by field.
        by: name of the account that asks.

    Raises:
        FormError: a value cannot be used.
        UsageError: the stage cannot be started now.
    """
    number = ask(home, stage, given, by=by)
    _send(home, "saring.start", {"request": number}, startable(stage).queue)
    return number


def resume(home: Context, run_id: int) -> int:
    """Continue a run on workers with its unfinished and parked shards, and return their number at once.

    Raises:
        RunMissing: there is no such run, or it was not on workers.
        RunConflict: its stage is running on the same data already.
    """
    numbers = reopen_run(home.engine, run_id)
    _send(home, "saring.send", {"run_id": run_id})
    return len(numbers)


def retrain_now(home: Context) -> None:
    """Ask for a training, as the training button of Label Studio does: many presses are one training."""
    body = {"action": TRAINING_BUTTON, "from": "saring"}
    with home.begin() as session:
        session.execute(insert(store.Event).values(action=TRAINING_BUTTON, body=body, received_at=datetime.now(UTC)))
    _send(home, "saring.retrain", {})


def served_queues(settings: Settings) -> frozenset[str] | None:
    """The queues whose jobs a running worker takes; None if the broker does not answer. It takes half a second."""
    try:
        app = make_app(ensure_broker(settings), carries_out=False)
        taken = app.control.inspect(timeout=_ASK_SECONDS).active_queues() or {}
    except (OperationalError, ConnectionError, RedisError, ServiceError):
        return None
    return frozenset(served["name"] for queues in taken.values() for served in queues) & frozenset(QUEUES)


def _send(home: Context, name: str, arguments: Mapping[str, Any], queue: str | None = None) -> None:
    try:
        send: Sender = home.keep("sender of jobs", lambda: job_sender(home.settings))
    except ServiceError as error:
        log.warning("%s could not be sent (%s): the schedule sends it when the broker is there", name, error)
        return
    send(name, arguments, queue)
