"""Leaving out what this machine has no hosts for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks._namespaces import why_no_hosts

_NEEDS_HOSTS = "test_partition.py"
_LEFT_OUT = pytest.StashKey[tuple[int, str]]()
_FOLDER = Path(__file__).resolve().parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where no network namespaces can be made, the tests that cut networks are left out, and a line at the end says so.

    In CI too: whether a machine lets its programs do that is not for the project to say.
    """
    needing = [item for item in items if item.path.parent == _FOLDER and item.path.name == _NEEDS_HOSTS]
    why = why_no_hosts() if needing else None
    if why is not None:
        config.stash[_LEFT_OUT] = len(needing), why
        items[:] = [item for item in items if item not in set(needing)]
        config.hook.pytest_deselected(items=needing)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under pytest-xdist, the process that reports does not know this file, so the first of the others says it."""
    if getattr(session.config, "workerinput", {}).get("workerid") == "gw0" and _LEFT_OUT in session.config.stash:
        os.write(2, f"\n{_line(session.config)}\n".encode())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and why."""
    if _LEFT_OUT in config.stash:
        terminalreporter.write_line(_line(config), yellow=True)


def _line(config: pytest.Config) -> str:
    count, why = config.stash[_LEFT_OUT]
    return f"{count} tests with a cut network left out: {why}"
