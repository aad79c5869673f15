"""Real services for the tests: one PostgreSQL, Valkey and Label Studio a pytest process, a fresh database a test.

Label Studio's own environment is made once and kept in the user's cache folder, for all runs.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from sqlalchemy import Engine, make_url
from sqlalchemy.orm import Session

from pipeline.errors import ServiceError
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from saring.services import (
    LabelStudioAccess,
    ensure_broker,
    ensure_database,
    ensure_label_studio,
    install_label_studio,
    stop_services,
)
from tests.hub_stub import HubStub

_TEMPLATE = "saring_template"
#: beginnings of what is not to be set outside
_CLEARED = ("SARING_", "PG", "CELERY_", "LABEL_STUDIO_", "HF_TOKEN", "HF_ENDPOINT")
#: set outside, and still meant for the tests
_KEPT = ("SARING_SHARED", "SARING_CI", "SARING_LABEL_STUDIO_ENV")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_NO_BROWSER = "no Chromium found: install one (on Debian, `apt-get install chromium`), or set CHROMIUM to its path"
_NOT_INSTALLED = pytest.StashKey[str]()
#: files that take minutes
_LONGEST = ("test_demo.py", "test_jobs.py")
_LEFT_OUT = pytest.StashKey[int]()
# how long an example takes says more of what else the machine does than of the code
hypothesis_settings.register_profile("saring", deadline=None)
hypothesis_settings.load_profile("saring")
_ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Nothing set outside may change what is tested, and `~/.local/share/saring` is never met."""
    for name in list(os.environ):
        if name.startswith(_CLEARED) and name not in _KEPT:
            del os.environ[name]
    os.environ["SARING_HOME"] = os.devnull
    # the threads of several processes share few processors: none may burn one while it waits
    os.environ["OMP_WAIT_POLICY"] = "passive"
    # what one process compiles, the next need not; many of the tests' processes import a thousand modules
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _turn(file: Path) -> int:
    """When the tests of a file are run; those of one turn keep their order."""
    if file.name in _LONGEST:
        return _LONGEST.index(file.name)
    return len(_LONGEST) + (0 if file.parent.name == "e2e" else 1 if file.parent.name == "integration" else 2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, so that no process ends long after the others.

    Without a browser, what needs one is left out, and a line at the end says so; where CI runs, the fixture fails
    instead.
    """
    items.sort(key=lambda item: _turn(item.path))
    if _find_browser() is not None or os.environ.get("SARING_CI"):
        return
    left_out = [item for item in items if "chromium" in getattr(item, "fixturenames", ())]
    if left_out:
        config.stash[_LEFT_OUT] = len(left_out)
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install Label Studio, if a test needs it, before the first test's time begins to run."""
    if session.config.option.collectonly or not any(
        "label_studio" in getattr(item, "fixturenames", ()) for item in session.items
    ):
        return
    try:
        install_label_studio(Settings(home=Path(os.devnull)))
    except ServiceError as error:
        session.config.stash[_NOT_INSTALLED] = str(error)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist tells the one that reports how many tests it left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it: each process collects all tests, so one number is all of them."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out."""
    left_out = config.stash.get(_LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"{left_out} browser tests left out: {_NO_BROWSER}", yellow=True)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The home of this pytest process; what runs in it is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    yield folder
    stop_services(Settings(home=folder))
    shutil.rmtree(folder)


@pytest.fixture
def new_home() -> Iterator[Path]:
    """An empty home for one test; what runs in it is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    yield folder
    if folder.is_dir():
        stop_services(Settings(home=folder))
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server_url(home: Path) -> str:
    """The store's address on the embedded server. Its own database stays empty: tests get copies of a template."""
    return ensure_database(Settings(home=home))


@pytest.fixture(scope="session")
def broker_url(home: Path) -> str:
    """The address of the embedded broker, as Celery takes it."""
    return ensure_broker(Settings(home=home))


@pytest.fixture(scope="session")
def label_studio(home: Path, pytestconfig: pytest.Config) -> LabelStudioAccess:
    """A real Label Studio with an owner, for all tests of this process. Each test makes a project of its own."""
    if _NOT_INSTALLED in pytestconfig.stash:
        pytest.fail(pytestconfig.stash[_NOT_INSTALLED], pytrace=False)
    return ensure_label_studio(Settings(home=home))


@pytest.fixture
def label_studio_api(label_studio: LabelStudioAccess) -> Iterator[httpx.Client]:
    """Its HTTP API, as the owner."""
    headers = {"Authorization": f"Token {label_studio.api_key}"}
    with httpx.Client(base_url=label_studio.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A browser's program, for Playwright's `executable_path`."""
    found = _find_browser()
    if found is None:
        pytest.fail(_NO_BROWSER, pytrace=False)
    return found


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """Name of a database with the schema and nothing in it."""
    _administer(server_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    engine = make_engine(_address(server_url, _TEMPLATE))
    upgrade(engine)
    engine.dispose()
    return _TEMPLATE


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """The address of a database without a schema, for one test."""
    yield from _database(server_url, None)


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """The address of a database with the schema and nothing in it, for one test."""
    yield from _database(server_url, template)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on this test's database."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on this test's database."""
    with open_session(engine) as session:
        yield session


@pytest.fixture
def environment(new_home: Path, database_url: str) -> dict[str, str]:
    """What a `saring` process is run with to work in this test's database and an empty home."""
    return os.environ | {"SARING_HOME": str(new_home), "SARING_DATABASE_URL": database_url, "PYTHONPATH": str(_ROOT)}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One of torch's threads: of small networks, several only wait for each other."""
    # seconds, which few test files need
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStub]:
    """A server that speaks the Hugging Face Hub's protocol, and a client library of this process that may use it."""
    from huggingface_hub import constants

    # read from the environment when the library was first loaded
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # the other way of sending large files, which the Hub offers beside LFS, needs its store
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with HubStub() as stub:
        yield stub


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The shared reference data."""
    return Path(os.environ.get("SARING_SHARED") or _ROOT.parent / "shared")


def _find_browser() -> Path | None:
    """CHROMIUM, the system's, or the newest that Playwright installed for this user."""
    given = os.environ.get("CHROMIUM")
    if given:
        return Path(given) if Path(given).is_file() else None
    for name in _BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    cache = "Library/Caches" if sys.platform == "darwin" else ".cache"
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / cache / "ms-playwright")
    own = [*folder.glob("chromium*/chrome-*/chrome"), *folder.glob("chromium*/chrome-*/*/Contents/MacOS/Chromium")]
    return max(own, default=None)


def _database(server_url: str, template: str | None) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    # template0 has no pgvector: what a migration finds in a database made by hand
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _administer(server_url, copy.format(sql.Identifier(name), sql.Identifier(template or "template0")))
    yield _address(server_url, name)
    _administer(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


#: a database for a block, where a fixture is too short or too long
new_database = contextmanager(_database)


def _address(server_url: str, database: str) -> str:
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


def _administer(server_url: str, statement: sql.Composed) -> None:
    plain = make_url(server_url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(statement)
