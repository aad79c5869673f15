"""The work behind every way of hosting: setup, predictions and events, over HTTP and under label-studio-ml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.batching import Batcher
from ml_backend.config import BackendConfig
from ml_backend.jobs import JOBS, RETRAIN, Jobs, keep_event
from ml_backend.metrics import Metrics
from ml_backend.redact import read_event
from ml_backend.request import Asked, read_project
from ml_backend.serving import Champion
from pipeline import store
from pipeline.errors import InputError, StoreError
from pipeline.preannotation.label_studio_format import control_reader
from pipeline.store import open_session


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        InputError: there is none.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as strict:
        # lone surrogates are refused by one reader and sent by the other side: one bad text must not cost a batch
        try:
            payload = json.loads(body)
        except (ValueError, RecursionError):
            raise InputError(f"the body is not JSON ({strict.msg} at character {strict.pos})") from strict
    if not isinstance(payload, dict):
        raise InputError(f"the body is not a JSON object but a {type(payload).__name__}")
    return payload


class Service:
    """Answers Label Studio. `start` before use, `close` after."""

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self.champion = Champion(config)
        self.metrics = Metrics(config, self.champion)
        self.batcher = Batcher(config.engine, self.champion, config.limits, self.metrics.predicted)
        self._jobs = Jobs(config.send_job)
        self._read_config = control_reader(config.taxonomy)

    def start(self) -> None:
        """Load the champion, and keep up with its changes."""
        self.champion.start()

    def close(self) -> None:
        """End what runs in the background."""
        self.champion.stop()
        self.batcher.close()
        self._jobs.close()

    def health(self) -> dict[str, Any]:
        """The state of the backend, from memory alone."""
        return {
            "status": "UP",
            "model_class": "Saring",
            "model_version": self.champion.serving.version,
            "store": "ok" if self.champion.store_ok else "unreachable",
        }

    def setup(self) -> dict[str, Any]:
        """The version that predictions carry now."""
        return {"model_version": self.champion.serving.version}

    def versions(self) -> dict[str, Any]:
        """The version that serves, then those written ahead that Label Studio still holds, newest first."""
        serving = self.champion.serving.version
        b = store.PredictionBatch
        query = select(b.version).where(b.state.in_(("shown", "retired"))).order_by(b.created_at.desc(), b.version)
        try:
            with open_session(self.config.engine) as session:
                ahead = session.scalars(query.limit(20)).all()
        except (StoreError, SQLAlchemyError):
            ahead = ()
        return {"versions": list(dict.fromkeys([serving, *ahead]))}

    def asked(self, payload: Mapping[str, Any]) -> Asked:
        """Read a request for predictions.

        Raises:
            InputError: it has no list of tasks.
        """
        tasks = payload.get("tasks")
        if not isinstance(tasks, list):
            raise InputError("the request has no list `tasks`")
        return Asked(tasks, self._read_config(payload.get("label_config")), read_project(payload.get("project")))

    def receive(self, payload: Any, size: int, *, by_password: bool) -> bool:
        """Store an event, then have its job sent; False if it is not one.

        Args:
            payload: the event as it came.
            size: bytes of its body.
            by_password: it came with Label Studio's password. The secret of a webhook, which volunteers can read, may
                wake a pull and start no training.

        Raises:
            InputError: it asks for a training without the password.
            StoreUnavailable: the database cannot be reached.
        """
        row = read_event(payload, size=size, most=self.config.limits.event)
        if row is None:
            return False
        if JOBS.get(row["action"]) == RETRAIN and not by_password:
            raise InputError(f"{row['action']} needs the password of the ML backend")
        keep_event(self.config.engine, row)
        if (job := JOBS.get(row["action"])) is not None:
            self._jobs.wake(job)
        return True
