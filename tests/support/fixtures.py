"""Real services for the tests: one PostgreSQL, Valkey and Label Studio a pytest process, a fresh database a test.

Label Studio's own environment is made once and kept in the user's cache folder, for all runs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from saring.services import LabelStudioAccess, ensure_broker, ensure_database, ensure_label_studio, stop_services
from sync.api.client import LabelStudio
from tests.support.hub_server import HubStub
from tests.support.installed import NO_BROWSER, NOT_INSTALLED, find_browser
from tests.support.store import make_template, new_database, relax

_ROOT = Path(__file__).resolve().parents[2]


#: a folder in memory, and bytes that must be free there and in memory for the servers of all pytest processes
_IN_MEMORY, _NEEDED_BYTES = Path("/dev/shm"), 4 << 30


@contextmanager
def _new_home(parent: str = "/tmp") -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir=parent))
    yield folder
    if folder.is_dir():
        stop_services(Settings(home=folder))
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The home of this pytest process; what runs in it is stopped at the end.

    It is in memory where there is enough: to make a database for a test takes hundreds of files, and a disk's file
    system takes ten times as long for them.
    """
    with _new_home(str(_IN_MEMORY) if _has_room(_IN_MEMORY) else "/tmp") as folder:
        yield folder


def _has_room(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    return min(shutil.disk_usage(folder).free, psutil.virtual_memory().available) >= _NEEDED_BYTES


@pytest.fixture
def new_home() -> Iterator[Path]:
    """An empty home for one test; what runs in it is stopped at the end."""
    with _new_home() as folder:
        yield folder


@pytest.fixture(scope="module")
def module_home() -> Iterator[Path]:
    """An empty home that the tests of a file share."""
    with _new_home() as folder:
        yield folder


@pytest.fixture(scope="session")
def server_url(home: Path) -> str:
    """The store's address on the embedded server. Its own database stays empty: tests get copies of a template."""
    url = ensure_database(Settings(home=home))
    relax(url)
    return url


@pytest.fixture(scope="session")
def broker_url(home: Path) -> str:
    """The address of the embedded broker, as Celery takes it."""
    return ensure_broker(Settings(home=home))


@pytest.fixture(scope="session")
def label_studio(home: Path, pytestconfig: pytest.Config) -> LabelStudioAccess:
    """A real Label Studio with an owner, for all tests of this process. Each test makes a project of its own."""
    if NOT_INSTALLED in pytestconfig.stash:
        pytest.fail(pytestconfig.stash[NOT_INSTALLED], pytrace=False)
    # tests serve ML backends of their own, at free ports, and what accounts do where nothing is closed is tested too
    return ensure_label_studio(
        Settings(home=home, label_studio_may_call=("127.0.0.1",), label_studio_maintainers=("*",))
    )


@pytest.fixture(scope="session")
def closed_label_studio(pytestconfig: pytest.Config) -> Iterator[LabelStudioAccess]:
    """A real Label Studio as people have it: accounts other than the owner's are volunteers'."""
    if NOT_INSTALLED in pytestconfig.stash:
        pytest.fail(pytestconfig.stash[NOT_INSTALLED], pytrace=False)
    with _new_home(str(_IN_MEMORY) if _has_room(_IN_MEMORY) else "/tmp") as folder:
        yield ensure_label_studio(Settings(home=folder, dashboard_url="https://saring.example.org"))


@pytest.fixture
def label_studio_api(label_studio: LabelStudioAccess) -> Iterator[httpx.Client]:
    """Its HTTP API, as the owner."""
    headers = {"Authorization": f"Token {label_studio.api_key}"}
    with httpx.Client(base_url=label_studio.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def client(label_studio: LabelStudioAccess) -> Iterator[LabelStudio]:
    """Our client of it, as the owner."""
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        yield client


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A browser's program, for Playwright's `executable_path`."""
    program = find_browser()
    if program is None:
        pytest.fail(NO_BROWSER, pytrace=False)
    return program


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """Name of a database with the schema and nothing in it."""
    return make_template(server_url)


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """The address of a database without a schema, for one test."""
    with new_database(server_url) as url:
        yield url


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """The address of a database with the schema and nothing in it, for one test."""
    with new_database(server_url, template) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on this test's database."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def module_engine(server_url: str, template: str) -> Iterator[Engine]:
    """An engine on a database that the tests of a file share."""
    with new_database(server_url, template) as url:
        engine = make_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on this test's database."""
    with open_session(engine) as session:
        yield session


@pytest.fixture
def environment(new_home: Path, database_url: str) -> dict[str, str]:
    """Variables of a `saring` process that works in this test's database and an empty home.

    Trainings are those of n-grams alone: each process would load the encoder first. The demo and the newcomer's hour,
    which have environments of their own, train as everybody does.
    """
    return os.environ | {
        "SARING_HOME": str(new_home),
        "SARING_DATABASE_URL": database_url,
        "SARING_TRAIN_VECTORS": "false",
        "PYTHONPATH": str(_ROOT),
    }


@pytest.fixture
def here(environment: dict[str, str], label_studio: LabelStudioAccess) -> dict[str, str]:
    """Variables of such a process that works with the tests' Label Studio."""
    return environment | {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.api_key}


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
