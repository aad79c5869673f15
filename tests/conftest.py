"""Set-up of every pytest process: what it may see of this machine, in which order tests run, and which are left out.

The fixtures are in `tests/support/fixtures.py`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx._transports.default as httpx_transports
import pytest
from hypothesis import settings as hypothesis_settings

from pipeline.errors import ServiceError
from pipeline.settings import Settings
from saring.services import install_label_studio
from tests.support.installed import NO_BROWSER, NOT_INSTALLED, find_browser
from tests.support.namespaces import why_no_hosts

pytest_plugins = ["tests.support.fixtures"]

#: beginnings of variables that must not be set from outside
_CLEARED = ("SARING_", "PG", "CELERY_", "LABEL_STUDIO_", "HF_TOKEN", "HF_ENDPOINT")
#: variables that are set outside, and meant for the tests
_KEPT = ("SARING_SHARED", "SARING_CI", "SARING_LABEL_STUDIO_ENV")
#: files that take minutes
_LONGEST = ("test_demo.py", "test_jobs.py")
_NEEDS_HOSTS = "test_partition.py"
_LEFT_OUT = pytest.StashKey[list[str]]()
# how long an example takes says more of what else the machine does than of the code
hypothesis_settings.register_profile("saring", deadline=None)
hypothesis_settings.load_profile("saring")


def pytest_configure(config: pytest.Config) -> None:
    """Nothing set outside may change what is tested, and `~/.local/share/saring` is never met."""
    for name in list(os.environ):
        if name.startswith(_CLEARED) and name not in _KEPT:
            del os.environ[name]
    os.environ["SARING_HOME"] = os.devnull
    # the threads of several processes share few processors: none may burn one while it waits
    os.environ["OMP_WAIT_POLICY"] = "passive"
    # UMAP of the few vectors of a test takes a second; to compile it takes half a minute
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    # what one process compiles, the next need not; many of the tests' processes import a thousand modules
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # thousands of HTTP clients are made, and each would read the certificates of all authorities anew
    httpx_transports.create_ssl_context = lru_cache(httpx_transports.create_ssl_context)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Import everything without looking for garbage, and never look among what was imported: it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _turn(file: Path) -> int:
    """Return when the tests of a file are run; those of one turn keep their order."""
    if file.name in _LONGEST:
        return _LONGEST.index(file.name)
    return len(_LONGEST) + (0 if file.parent.name == "e2e" else 1 if file.parent.name == "integration" else 2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first, so that no process ends long after the others, and leave out what cannot run here.

    Without a browser, the tests that need one are left out, but not in CI: there the fixture fails. Where no network
    namespaces can be made, the tests that cut networks are left out, in CI too: whether a machine lets its programs
    do that is not for the project to say. A line at the end says what was left out.
    """
    items.sort(key=lambda item: _turn(item.path))
    lines = []
    browsing = [item for item in items if "chromium" in getattr(item, "fixturenames", ())]
    if browsing and find_browser() is None and not os.environ.get("SARING_CI"):
        _leave_out(config, items, browsing)
        lines.append(f"{len(browsing)} browser tests left out: {NO_BROWSER}")
    cutting = [item for item in items if item.path.name == _NEEDS_HOSTS]
    why = why_no_hosts() if cutting else None
    if why is not None:
        _leave_out(config, items, cutting)
        lines.append(f"{len(cutting)} tests with a cut network left out: {why}")
    config.stash[_LEFT_OUT] = lines


def _leave_out(config: pytest.Config, items: list[pytest.Item], unfit: list[pytest.Item]) -> None:
    items[:] = [item for item in items if item not in set(unfit)]
    config.hook.pytest_deselected(items=unfit)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install Label Studio, if a test needs it, before the first test's time begins to run."""
    if session.config.option.collectonly or not any(
        "label_studio" in getattr(item, "fixturenames", ()) for item in session.items
    ):
        return
    try:
        install_label_studio(Settings(home=Path(os.devnull)))
    except ServiceError as error:
        session.config.stash[NOT_INSTALLED] = str(error)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that reports what was left out, from a process of pytest-xdist."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_LEFT_OUT, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process of pytest-xdist left out: each collects all tests, so one of them speaks for all."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and why."""
    for line in config.stash.get(_LEFT_OUT, []):
        terminalreporter.write_line(line, yellow=True)
