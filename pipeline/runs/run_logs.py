"""Logs of runs on workers: log lines of Saring's code, and the steps of its work, stored with the run."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
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
#: A line is stored at once: a training takes hours, and may be killed. After so many lines of one shard they are stored
#: together, every few seconds.
_AT_ONCE, _STORED_SECONDS = 100, 5.0
#: seconds between two lines on one step
_STEP_SECONDS = 60.0

log = logging.getLogger(__name__)


class LoggedSteps:
    """Progress that is logged: each step when it begins, and while its count grows a line every minute at most.

    Args:
        say: called with each line.
        clock: the time in seconds.
    """

    def __init__(self, say: Callable[[str], None] = log.info, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._what: str | None = None
        self._last = 0.0

    def __call__(self, finished: int, total: int | None, what: str, note: str = "", /) -> None:
        """Take a report of progress; see `pipeline.progress.Progress`."""
        now = self._clock()
        if what == self._what and now - self._last < _STEP_SECONDS:
            return
        self._what, self._last = what, now
        counted = f"{finished:,} of {total:,}" if total is not None else f"{finished:,}" if finished else ""
        self._say(", ".join(filter(None, (f"{what}: {counted}" if counted else what, note))))


class _RunLogHandler(logging.Handler):
    """A handler that collects the log lines of this thread's shard."""

    def __init__(self, engine: Engine, run_id: int, shard: int | None, at_once: int) -> None:
        super().__init__(logging.INFO)
        self._engine, self._run_id, self._shard = engine, run_id, shard
        self._rows: list[dict[str, Any]] = []
        self._kept, self._at_once, self._stored = 0, at_once, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line if it belongs to the shard."""
        current = shard_at_work()
        if current is None or (current.run_id, current.shard) != (self._run_id, self._shard):
            return
        self._rows.append(
            {
                "run_id": self._run_id,
                "at": datetime.fromtimestamp(record.created, UTC),
                "level": record.levelname.lower(),
                "shard": self._shard,
                "worker": f"{socket.gethostname()}:{os.getpid()}",
                "message": storable(record.getMessage(), _LONGEST),
            }
        )
        self._kept += 1
        if self._kept <= self._at_once or (self._at_once and time.monotonic() - self._stored >= _STORED_SECONDS):
            self.store()

    def store(self) -> None:
        """Store the lines that are not stored yet."""
        rows, self._rows = self._rows, []
        self._stored = time.monotonic()
        if rows:
            _write(self._engine, rows)


@contextmanager
def kept_log(engine: Engine, run_id: int, shard: int | None, *, at_end: bool = False) -> Iterator[None]:
    """Store the lines of Saring's loggers in this block, from level INFO on, with the run.

    Args:
        engine: the store.
        run_id: id of the run.
        shard: number of the shard; None: the end of the run.
        at_end: True: store them after the block, which locks the run: another transaction would wait for it for ever.
    """
    handler = _RunLogHandler(engine, run_id, shard, 0 if at_end else _AT_ONCE)
    loggers = [logging.getLogger(name) for name in _OURS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.store()


def _write(engine: Engine, rows: list[dict[str, Any]]) -> None:
    try:
        with open_session(engine) as session, session.begin():
            session.execute(insert(store.RunLog), rows)
    except (StoreError, DBAPIError) as error:
        # The worker's own log has the lines too.
        message = "%d lines of the log of run %s could not be stored: %s"
        log.debug(message, len(rows), rows[0]["run_id"], error)
