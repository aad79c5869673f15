"""A migration while people work: it waits its turn, and nobody waits for it for long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text

from pipeline.errors import StoreError
from pipeline.store import make_engine
from pipeline.store.migrate import MigrationWaits, current_and_head, drift, require_head, upgrade
from tests.support.waiting import until

#: the migration after it changes `run`, which everything reads and writes
_BEFORE = "0002"
#: short waits for a table, many tries
_WAITS = MigrationWaits(lock=0.2, pause=0.2, all=120)
#: seconds after which somebody who should not be kept waiting complains
_READER_SECONDS = 60


@pytest.fixture
def older(empty_database_url: str) -> Iterator[Engine]:
    """An engine on a database whose schema is not the newest."""
    migrate(empty_database_url, revision=_BEFORE)
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def migrate(url: str, *, revision: str = "head", waits: MigrationWaits = _WAITS) -> None:
    """Upgrade over connections of its own, as another process would."""
    engine = make_engine(url)
    try:
        upgrade(engine, revision=revision, waits=waits)
    finally:
        engine.dispose()


@contextmanager
def work_under_way(engine: Engine) -> Iterator[None]:
    """A transaction that has read `run`, and stays open until the block ends."""
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT count(*) FROM run"))
        yield


def is_waiting(engine: Engine) -> bool:
    """Whether somebody stands before `run` to change it."""
    query = "SELECT 1 FROM pg_locks WHERE relation = 'run'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted"
    with engine.connect() as connection:
        return connection.execute(text(query)).first() is not None


def read(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"SET statement_timeout = '{_READER_SECONDS}s'"))
        connection.execute(text("SELECT count(*) FROM run"))


def said(caplog: pytest.LogCaptureFixture, what: str) -> Callable[[], bool]:
    return lambda: what in caplog.text


def test_it_lets_readers_pass_and_ends_when_the_work_does(
    older: Engine, empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with work_under_way(older):
            upgrading = pool.submit(migrate, empty_database_url)
            for _ in range(3):
                until(lambda: is_waiting(older), "the migration waits for the table")
                # behind a migration that waits for ever, this would wait for ever
                read(older)
            until(said(caplog, "a table is in use"), "it says why it takes long")
            assert not upgrading.done()
        upgrading.result()
    require_head(older)
    assert drift(older) == []


def test_it_leaves_nothing_half_done_when_it_is_given_up(older: Engine, empty_database_url: str) -> None:
    little = dataclasses.replace(_WAITS, all=1.0)
    with work_under_way(older), pytest.raises(StoreError) as error:
        migrate(empty_database_url, waits=little)
    assert "`saring init`" in str(error.value)
    assert "\n" not in str(error.value)
    assert current_and_head(older)[0] == _BEFORE
    with older.connect() as connection:
        held = connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
    assert held == 0
    migrate(empty_database_url)
    assert drift(older) == []
