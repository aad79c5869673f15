"""Logs of runs on workers: log lines of Saring's code, stored with the run."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert
from sqlalchemy.exc import DBAPIError

from pipeline import store
from pipeline.errors import StoreError
from pipeline.runs.record import shard_at_work
from pipeline.storable import storable
from pipeline.store.session import open_session

#: Saring's own loggers; lines of libraries are in the worker's log only
_OURS = ("pipeline", "sync", "saring", "ml_backend")
_LONGEST = 2_000


class _RunLogHandler(logging.Handler):
    """A handler that collects the log lines of this thread's shard."""

    def __init__(self, run_id: int, shard: int | None) -> None:
        super().__init__(logging.INFO)
        self._run_id, self._shard = run_id, shard
        self.rows: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line if it belongs to the shard."""
        current = shard_at_work()
        if current is None or (current.run_id, current.shard) != (self._run_id, self._shard):
            return
        self.rows.append(
            {
                "run_id": self._run_id,
                "at": datetime.fromtimestamp(record.created, UTC),
                "level": record.levelname.lower(),
                "shard": self._shard,
                "worker": f"{socket.gethostname()}:{os.getpid()}",
                "message": storable(record.getMessage(), _LONGEST),
            }
        )


@contextmanager
def kept_log(engine: Engine, run_id: int, shard: int | None) -> Iterator[None]:
    """Store the lines of Saring's loggers in this block, from level INFO on, with the run."""
    handler = _RunLogHandler(run_id, shard)
    loggers = [logging.getLogger(name) for name in _OURS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        if handler.rows:
            _write(engine, handler.rows)


def _write(engine: Engine, rows: list[dict[str, Any]]) -> None:
    try:
        with open_session(engine) as session, session.begin():
            session.execute(insert(store.RunLog), rows)
    except (StoreError, DBAPIError) as error:
        # The worker's own log has the lines too.
        message = "%d lines of the log of run %s could not be stored: %s"
        logging.getLogger(__name__).debug(message, len(rows), rows[0]["run_id"], error)
