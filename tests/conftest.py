"""Real services for the tests: one PostgreSQL and one Valkey a pytest process, a fresh database a test."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from sqlalchemy import Engine, make_url
from sqlalchemy.orm import Session

from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from saring.services import ensure_broker, ensure_database, stop_services

_TEMPLATE = "saring_template"
# how long an example takes says more of what else the machine does than of the code
hypothesis_settings.register_profile("saring", deadline=None)
hypothesis_settings.load_profile("saring")
_ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Nothing set outside may change what is tested, and `~/.local/share/saring` is never met."""
    shared = os.environ.get("SARING_SHARED")
    for name in list(os.environ):
        if name.startswith(("SARING_", "PG", "CELERY_", "LABEL_STUDIO_")):
            del os.environ[name]
    if shared:
        os.environ["SARING_SHARED"] = shared
    os.environ["SARING_HOME"] = os.devnull


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


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The shared reference data."""
    return Path(os.environ.get("SARING_SHARED") or _ROOT.parent / "shared")


def _database(server_url: str, template: str | None) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    # template0 has no pgvector: what a migration finds in a database made by hand
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _administer(server_url, copy.format(sql.Identifier(name), sql.Identifier(template or "template0")))
    yield _address(server_url, name)
    _administer(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _address(server_url: str, database: str) -> str:
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


def _administer(server_url: str, statement: sql.Composed) -> None:
    plain = make_url(server_url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(statement)
