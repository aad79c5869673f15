"""The file that health checks look at, touched by a real worker and a real schedule."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saring.workers.heartbeat import VARIABLE
from tests.support.waiting import until
from tests.support.worker import kill_all

_ROOT = Path(__file__).resolve().parents[2]
_APP = """
import sys
from celery import Celery
from saring.workers import heartbeat
app = Celery("heartbeat", broker=sys.argv[1])
app.conf.broker_connection_retry_on_startup = True
app.conf.beat_schedule = {"often": {"task": "nothing", "schedule": 0.2, "options": {"queue": "heartbeat-test"}}}
"""
_WORKER = f"""{_APP}
heartbeat.keep_of_worker()
app.worker_main(["worker", "--queues", "heartbeat-test", "--pool", "solo"])
"""
_SCHEDULE = f"""{_APP}
heartbeat.keep_of_schedule()
app.Beat(scheduler="celery.beat:Scheduler").run()
"""


@contextmanager
def running(script: str, broker_url: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", script, broker_url]
    with subprocess.Popen(command, cwd=_ROOT, env=environment, start_new_session=True) as process:
        try:
            yield process
        finally:
            kill_all(process)


@pytest.mark.parametrize("script", [_WORKER, _SCHEDULE], ids=["worker", "schedule"])
def test_the_file_is_touched_again_and_again(
    script: str, broker_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    with running(script, broker_url, environment | {VARIABLE: str(file)}) as process:
        until(lambda: file.exists() or process.poll() is not None, "the file is made")
        for _ in range(2):
            os.utime(file, (0, 0))
            until(lambda: file.stat().st_mtime > 0 or process.poll() is not None, "the file is touched")
        assert process.poll() is None
        assert file.stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGTERM)
        process.wait()


def test_the_check_of_the_compose_file_tells_old_from_new(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    check = ["sh", "-c", f"find {file} -mmin -1 | grep -q ."]
    assert subprocess.run(check, capture_output=True).returncode != 0
    file.touch()
    assert subprocess.run(check).returncode == 0
    os.utime(file, (0, 0))
    assert subprocess.run(check).returncode != 0
