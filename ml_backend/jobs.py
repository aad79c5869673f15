"""Events of Label Studio: kept, and handed on as jobs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

from sqlalchemy import Engine, insert

from ml_backend.config import SendJob
from pipeline import store

logger = logging.getLogger(__name__)

PULL, RETRAIN = "saring.pull", "saring.retrain"
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
    """Hands jobs on, off the request's path. A job that is still waiting to be sent is not sent twice."""

    def __init__(self, send: SendJob) -> None:
        self._send = send
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
        """End the thread once it has sent what was waiting."""
        self._sender.shutdown()

    def _deliver(self, name: str) -> None:
        with self._lock:
            # from here on a new event may come too late for this job, so it gets one of its own
            self._waiting.discard(name)
        self._send(name, {})

    def _done(self, sent: Future[None]) -> None:
        error = sent.exception()
        if error is not None and not self._failing:
            logger.warning("a job cannot be sent (%s); events are kept and wait for the schedule", type(error).__name__)
        elif error is None and self._failing:
            logger.info("jobs can be sent again")
        self._failing = error is not None
