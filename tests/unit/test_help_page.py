"""The help page: every command is in one group, and the version is told."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections import Counter

from saring.cli.lazy import COMMANDS, PANELS


def test_every_command_is_in_one_group() -> None:
    grouped = Counter(name for names in PANELS.values() for name in names)
    assert grouped == Counter(list(COMMANDS))


def test_the_page_shows_the_groups_in_order_with_their_commands() -> None:
    done = subprocess.run([sys.executable, "-m", "saring", "--help"], capture_output=True, text=True, check=True)
    places = [done.stdout.index(f" {panel} ") for panel in PANELS]
    assert places == sorted(places)
    begin, texts = done.stdout.index(" Begin "), done.stdout.index(" Texts and labels ")
    assert all(f" {name} " in done.stdout[begin:texts] for name in PANELS["Begin"])


def test_the_version_is_told() -> None:
    done = subprocess.run([sys.executable, "-m", "saring", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"saring {importlib.metadata.version('saring')}\n"
