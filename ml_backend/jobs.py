"""Events of Label Studio: kept, and handed on as jobs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from time import monotonic
from typing import Any

from sqlalchemy import Engine, insert

from ml_backend.config import SendJob
from pipeline import store

logger = logging.getLogger(__name__)

PULL, RETRAIN = "saring.pull", "saring.retrain"
#: seconds from a job to the next of its name. A pull costs Label Studio as much as several answers of a volunteer, and
#: one pull takes all that were given meanwhile.
LEAST_SECONDS = 5.0
#: events as Label Studio names them, and the job that looks after each; others are kept and nothing more
JOBS: Mapping[str, str] = {
    "ANNOTATION_CREATED": PULL,
    "ANNOTATION_UPDATED": PULL,
    "ANNOTATIONS_CREATED": PULL,
    "ANNOTATIONS_DELETED": PULL,
    "TASKS_CREATED": PULL,
    "TASKS_DELETED": PULL,
    # somebody may have edited the label config
    "PROJECT_UPDATED": PULL,
    "START_TRAINING": RETRAIN,
}


def keep_event(engine: Engine, row: Mapping[str, Any]) -> None:
    """Store an event.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with engine.begin() as connection:
        connection.execute(insert(store.Event).values(**row))


class Jobs:
    """Hands jobs on, off the request's path. A job that is still waiting to be sent is not sent twice.

    Args:
        send: sends a job.
        least_seconds: from a job to the next of its name. The first is sent at once, and what comes sooner waits.
    """

    def __init__(self, send: SendJob, *, least_seconds: float = LEAST_SECONDS) -> None:
        self._send = send
        self._least = least_seconds
        self._sent: dict[str, float] = {}
        self._closing = Event()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="saring-jobs")
        self._waiting: set[str] = set()
        self._lock = Lock()
        self._failing = False

    def wake(self, name: str) -> None:
        """Have a job sent soon. If it can't be, the event stays and the schedule finds it."""
        with self._lock:
            if name in self._waiting:
                return
            self._waiting.add(name)
        self._sender.submit(self._deliver, name).add_done_callback(self._done)

    def close(self) -> None:
        """End the thread once it has sent what was waiting, which is sent now."""
        self._closing.set()
        self._sender.shutdown()

    def _deliver(self, name: str) -> None:
        due = self._sent.get(name, -math.inf) + self._least
        self._closing.wait(max(0.0, due - monotonic()))
        with self._lock:
            # from here on a new event may come too late for this job, so it gets one of its own
            self._waiting.discard(name)
        self._send(name, {})
        self._sent[name] = monotonic()

    def _done(self, sent: Future[None]) -> None:
        error = sent.exception()
        if error is not None and not self._failing:
            logger.warning("a job cannot be sent (%s); events are kept and wait for the schedule", type(error).__name__)
        elif error is None and self._failing:
            logger.info("jobs can be sent again")
        self._failing = error is not None
