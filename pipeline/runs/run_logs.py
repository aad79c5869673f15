"""What is said while a run is at work, kept with the run."""

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
from pipeline.store.session import open_session

#: Saring's own loggers; what libraries say is in the worker's log
_OURS = ("pipeline", "sync", "saring", "ml_backend")
_LONGEST = 2_000


class _Keeper(logging.Handler):
    """Gathers what this thread's run says."""

    def __init__(self, run_id: int, shard: int | None) -> None:
        super().__init__(logging.INFO)
        self._run_id, self._shard = run_id, shard
        self.rows: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, if it belongs to the run."""
        carried = shard_at_work()
        if carried is None or (carried.run_id, carried.shard) != (self._run_id, self._shard):
            return
        self.rows.append(
            {
                "run_id": self._run_id,
                "at": datetime.fromtimestamp(record.created, UTC),
                "level": record.levelname.lower(),
                "shard": self._shard,
                "worker": f"{socket.gethostname()}:{os.getpid()}",
                "message": record.getMessage().replace("\0", "")[:_LONGEST],
            }
        )


@contextmanager
def kept_log(engine: Engine, run_id: int, shard: int | None) -> Iterator[None]:
    """Keep what Saring's loggers say in this block, from INFO on, with the run."""
    keeper = _Keeper(run_id, shard)
    loggers = [logging.getLogger(name) for name in _OURS]
    for one in loggers:
        one.addHandler(keeper)
    try:
        yield
    finally:
        for one in loggers:
            one.removeHandler(keeper)
        if keeper.rows:
            _write(engine, keeper.rows)


def _write(engine: Engine, rows: list[dict[str, Any]]) -> None:
    try:
        with open_session(engine) as session, session.begin():
            session.execute(insert(store.RunLog), rows)
    except (StoreError, DBAPIError) as error:
        # the worker's own log has the lines too
        logging.getLogger(__name__).debug("the log of run %s lacks %d lines: %s", rows[0]["run_id"], len(rows), error)
