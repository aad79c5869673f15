"""A `saring` command as it is typed, carried out in this process: one of its own takes seconds to begin.

What it prints, reads and logs goes the way it goes in a process of its own. What is about processes (signals, servers,
several at once, what a shell sees) is tested with processes.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from subprocess import CompletedProcess
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from saring.cli import main

#: nobody listens there
NOBODY = "postgresql://me:hunter2@127.0.0.1:1/none"


def typed(variables: Mapping[str, str], *words: str, given: str | None = None) -> CompletedProcess[str]:
    """Run a command with these variables set and `given` on standard input; both outputs and the exit status."""
    streams = {"stdin": _stream(given or ""), "stdout": _stream(), "stderr": _stream()}
    with pytest.MonkeyPatch.context() as patch, _logging_anew(patch), _nothing_left_open():
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["saring", *words])
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as ended:
            main()
    return CompletedProcess(words, int(ended.value.code or 0), _text(streams["stdout"]), _text(streams["stderr"]))


def answered(ended: CompletedProcess[str]) -> dict[str, Any]:
    """Return the one JSON object that a command printed, which ended well."""
    assert ended.returncode == 0, ended.stderr
    shown = json.loads(ended.stdout)
    assert isinstance(shown, dict)
    return shown


def refused(ended: CompletedProcess[str], status: int = 1) -> str:
    """Return the one line in which a command refuses."""
    assert (ended.returncode, ended.stdout) == (status, ""), ended
    [line] = ended.stderr.splitlines()
    assert line.startswith("saring: ")
    return line


def _stream(text: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


@contextmanager
def _logging_anew(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a new process has it: without pytest's handlers, so that the command's own shows its log on standard error."""
    root = logging.getLogger()
    level = root.level
    patch.setattr(root, "handlers", [])
    try:
        yield
    finally:
        root.setLevel(level)


@contextmanager
def _nothing_left_open() -> Iterator[None]:
    """Close the connections to databases that a process would take with it."""
    opened: list[Any] = []

    def note(connection: Any, _: Any) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", note)
    try:
        yield
    finally:
        event.remove(Pool, "connect", note)
        for one in opened:
            one.close()
