"""A home in which the demo has run, and the commands that are then typed in it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from saring.demo.loop import run_loop
from tests.support.commands import NOBODY, answered, typed

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Demo:
    """A home in which the demo has run, and what it printed."""

    home: Path
    #: the home and the store of the person who ran it
    own: Path
    result: dict[str, Any]

    def run(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command in the demo's home."""
        return typed({"SARING_HOME": str(self.home), "COLUMNS": "200"}, *words, given=given)

    def answer(self, *words: str) -> dict[str, Any]:
        """What a command prints as JSON."""
        return answered(self.run(*words, "--json"))

    def stage(self, name: str) -> dict[str, Any]:
        [found] = [stage for stage in self.result["stages"] if stage["stage"] == name]
        return found["details"]

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        return self.answer("status")["database"]["rows"]

    def caught(self, what: str, by: str) -> tuple[int, int]:
        """How much of one kind of trouble was caught, and how much there was."""
        [found] = [row for row in self.result["caught"] if (row["planted"], row["by"]) == (what, by)]
        return found["caught"], found["total"]


def run_demo(home: Path, own: Path, *words: str) -> dict[str, Any]:
    """Run the demo as a process, by somebody whose own store is at an address where nobody listens."""
    command = [sys.executable, "-m", "saring", "demo", *words, "--home", str(home), "--json"]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)} | _own(own)
    return answered(subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True))


def run_short_demo(home: Path, own: Path, *, each: int, each_review: int) -> dict[str, Any]:
    """Run the demo in this process, with volunteers who do fewer tasks: Label Studio takes long for each answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saring.cli.demo.run_loop", partial(run_loop, each=each, each_review=each_review))
        return answered(typed(_own(own), "demo", "--home", str(home), "--json"))


def _own(home: Path) -> dict[str, str]:
    return {"SARING_HOME": str(home), "SARING_DATABASE_URL": NOBODY}
