"""The runner of benchmarks: what it asks for, and what it leaves behind when one takes too long."""

from __future__ import annotations

import sys

import psutil
import pytest

from tools import bench
from tools._claims import read_claims
from tools._results import Machine, shown_command

#: starts a program that outlives it, says its process id, and never ends
_ENDLESS = """
import subprocess, sys, time
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(left.pid, flush=True)
time.sleep(600)
"""


def is_at_work(pid: int) -> bool:
    """Whether a process is there and not only its entry, which waits for whoever started it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_takes_too_long_is_ended_with_all_that_it_started() -> None:
    ended = bench.run_limited([sys.executable, "-c", _ENDLESS], 5)
    assert ended.status is None
    assert not is_at_work(int(ended.output))


def test_what_ends_by_itself_is_kept_with_its_status() -> None:
    program = "import sys; print('{}'); sys.exit('no such file')"
    ended = bench.run_limited([sys.executable, "-c", program], 60)
    assert (ended.output, ended.errors, ended.status) == ("{}\n", "no such file\n", 1)


def kept(output: str, status: int | None, errors: str = "") -> bench.Kept:
    ended = bench.Ended(output=output, errors=errors, seconds=1.0, status=status)
    return bench.Kept(command="python x", date="2026-01-02", machine=Machine(cores=2), limit=9, ended=ended)


def test_what_was_printed_becomes_a_record() -> None:
    [fuzz] = [one for one in read_claims() if one.name == "fuzz"]
    lines = '{"reader": "a", "inputs": 5, "untyped_errors": 0}\n{"reader": "b", "inputs": 4, "untyped_errors": 2}\n'
    measured = bench.record_of_kept(fuzz, "short", kept(lines, 0), None)
    assert {name: one.ours for name, one in measured.figures.items()} == {"untyped": 2, "inputs": 9}
    assert measured.failure is None
    # it ends with a status because of the errors that it found, which is a figure
    found = bench.record_of_kept(fuzz, "short", kept(lines, 1), None)
    assert (found.figures, found.failure is None) == (measured.figures, False)
    late = bench.record_of_kept(fuzz, "short", kept("", None), measured)
    assert late.failure is not None
    assert (late.figures, late.failure.why) == (measured.figures, "it took longer than 9 s")
    broken = bench.record_of_kept(fuzz, "short", kept("", 1, "Traceback\nOSError: no file\n"), None)
    assert broken.failure is not None
    assert (broken.figures, broken.failure.why) == ({}, "OSError: no file")


def test_the_list_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(one.name in listed for one in read_claims())


def test_a_wrong_name_or_form_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--only", "ingests"]) == 2
    assert capsys.readouterr().err.startswith("no benchmark 'ingests': use attention, audit, ")
    assert bench.main(["--only", "filter_million"]) == 2
    assert "filter_million has no short form: run `make bench FORM=long ONLY=filter_million`" in capsys.readouterr().err


def test_a_command_names_no_place() -> None:
    by_name = {one.name: one for one in read_claims()}
    command = shown_command(by_name["ml_backend"], "short", ["--flask"])
    assert command == "python benchmarks/ml_backend.py --clients 20 --requests 20 --tasks 2000 --flask FLASK"
    assert '--noise "uniform 10%"' in shown_command(by_name["audit"], "short", [])
