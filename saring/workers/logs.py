"""The log of workers: lines for people, or one JSON object per line with the ids of run, shard and task."""

from __future__ import annotations

import logging
import os
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
from celery import current_task

from pipeline.runs.record import shard_at_work

_TEXT = "%(asctime)s %(levelname)s %(name)s%(where)s: %(message)s"


class _WithIds(logging.Filter):
    """A filter that adds the ids of the present run, shard and task to a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        shard = shard_at_work()
        record.__dict__ |= {
            "run": shard.run_id if shard is not None else None,
            "shard": shard.shard if shard is not None else None,
            "task_id": current_task.request.id if current_task else None,
            "task": current_task.name if current_task else None,
            "where": f" [run {shard.run_id} shard {shard.shard}]" if shard is not None else "",
        }
        return True


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        for name in ("run", "shard", "task", "task_id"):
            if getattr(record, name, None) is not None:
                line[name] = getattr(record, name)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def log_to_stderr(form: str, level: int = logging.INFO) -> None:
    """Log everything from `level` on to standard error, as `text` or as `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_WithIds())
    handler.setFormatter(_Json() if form == "json" else logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These clients log a line for each request, with its address.
    for client in ("httpx", "httpx2"):
        logging.getLogger(client).setLevel(logging.WARNING)
