"""What Label Studio tells us: kept as it came, without secrets, and handed on as a job."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

from sqlalchemy import Engine, insert

from ml_backend.config import SendJob
from ml_backend.request import sound
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

#: names of fields that hold secrets
_SECRET = re.compile(r"(?i)token|passw|secret|credential|authori[sz]ation|cookie|(?:api|access|private)_?key")
#: a name and a password in an address
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
#: longest name of an action that is kept
_LONGEST_ACTION = 100
#: nesting beyond which an event is nothing that Label Studio sends
_DEEPEST = 50


def read_event(payload: Any, *, size: int, most: int) -> dict[str, Any] | None:
    """The values of an event's row; None if it is none.

    Args:
        payload: the decoded body.
        size: bytes that it came in.
        most: bytes beyond which only the ids in it are kept.
    """
    action = payload.get("action") if isinstance(payload, dict) else None
    if not isinstance(action, str) or not action.strip():
        return None
    project = payload.get("project")
    project_id = project.get("id") if isinstance(project, dict) else None
    body = _clean(payload) if size <= most else _summary(payload, project_id)
    known = isinstance(project_id, int) and not isinstance(project_id, bool) and 0 < project_id < 2**31
    return {
        "action": _storable(action.strip()[:_LONGEST_ACTION]),
        "label_studio_project": project_id if known else None,
        "body": body,
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


def _summary(payload: Mapping[str, Any], project_id: object) -> dict[str, Any]:
    """What a large event is about: ids, and that there was more."""
    body: dict[str, Any] = {"summary": True, "action": _clean(payload.get("action")), "project": {"id": project_id}}
    for name in ("task", "tasks", "annotation", "annotations"):
        found = payload.get(name)
        listed = found if isinstance(found, list) else [found] if isinstance(found, dict) else []
        if ids := [one["id"] for one in listed if isinstance(one, dict) and isinstance(one.get("id"), int)]:
            body[name] = [{"id": one} for one in ids]
    return body if isinstance(project_id, int | None) else body | {"project": {"id": None}}


def _clean(value: Any, depth: int = 0) -> Any:
    """The value without secrets, and without what PostgreSQL's JSON cannot hold."""
    if isinstance(value, dict):
        if depth > _DEEPEST:
            return {}
        return {_storable(key): _clean(inner, depth + 1) for key, inner in value.items() if _SECRET.search(key) is None}
    if isinstance(value, list):
        return [_clean(inner, depth + 1) for inner in value] if depth <= _DEEPEST else []
    if isinstance(value, str):
        return _USERINFO.sub("", _storable(value)) if "://" in value else _storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _storable(text: str) -> str:
    return sound(text).replace("\0", "")
