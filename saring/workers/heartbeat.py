"""A file that a worker, or whoever keeps the schedule, touches while it is well.

A health check looks how old it is, which costs nothing, and finds out one that lives and does nothing: of a worker the
process that takes the jobs says so every other second, of the schedule each job that it sends.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import after_task_publish, beat_init, heartbeat_sent, worker_ready

#: names the file; without it nothing is touched
VARIABLE = "SARING_HEARTBEAT_FILE"


def keep_of_worker() -> None:
    """Touch the file while this process is a worker that takes jobs."""
    _touch_at(worker_ready, heartbeat_sent)


def keep_of_schedule() -> None:
    """Touch the file whenever this process sends a job that is due; one is due every minute."""
    _touch_at(beat_init, after_task_publish)


def _touch_at(*signals: Any) -> None:
    given = os.environ.get(VARIABLE)
    if not given:
        return
    file = Path(given)

    def touch(**_: Any) -> None:
        file.touch(mode=0o600)

    for signal in signals:
        signal.connect(touch, weak=False)
