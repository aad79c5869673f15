"""A file that a worker or the scheduler touches while it works.

A health check reads the age of the file, which costs almost nothing, and so finds a process that lives but does
nothing. A worker's main process touches it every two seconds; the scheduler touches it at each job that it sends.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import after_task_publish, beat_init, heartbeat_sent, worker_ready

#: environment variable with the path of the file; without it no file is touched
VARIABLE = "SARING_HEARTBEAT_FILE"


def keep_of_worker() -> None:
    """Touch the file while this process is a worker that takes jobs."""
    _touch_at(worker_ready, heartbeat_sent)


def keep_of_schedule() -> None:
    """Touch the file whenever this process sends a job that is due; one is due every minute."""
    _touch_at(beat_init, after_task_publish)


def _touch_at(*signals: Any) -> None:
    path = os.environ.get(VARIABLE)
    if not path:
        return
    file = Path(path)

    def touch(**_: Any) -> None:
        file.touch(mode=0o600)

    for signal in signals:
        signal.connect(touch, weak=False)
