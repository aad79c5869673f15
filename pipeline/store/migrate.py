"""Migrations: bring a database to the schema of this code while other processes use it.

A change of a table waits for the transactions that use the table, and all later transactions wait for the change. So
a migration waits for a few seconds only, lets the others continue, and tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from pipeline.errors import StoreError, StoreNotReady
from pipeline.store import locks
from pipeline.store.glance import MIGRATIONS, head
from pipeline.store.locks import Lock

# Every command asks for the revision, and few change the schema: Alembic takes half a second to import.
if TYPE_CHECKING:
    from alembic.config import Config
    from tenacity import RetryCallState

log = logging.getLogger(__name__)

#: prefix of the partitions of vectors: they are made when an encoder is first used, so they are not part of the schema
PARTITION_PREFIX = "text_vector_p_"


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def is_schema(obj: object, name: str | None, kind: str, *_rest: object) -> bool:
    """True where Alembic should compare a database object with the models."""
    if kind == "table":
        return not (name or "").startswith(PARTITION_PREFIX)
    table = getattr(obj, "table", None)
    return not (table is not None and table.name.startswith(PARTITION_PREFIX))


@dataclass(frozen=True, slots=True)
class MigrationWaits:
    """Seconds that a change of the schema waits for other transactions."""

    #: longest wait of a statement for a table; later transactions wait as long
    lock: float = 5.0
    #: longest pause between two attempts; others continue meanwhile
    pause: float = 15.0
    #: seconds after which the migration fails
    all: float = 900.0


_WAITS = MigrationWaits()


def upgrade(engine: Engine, *, revision: str = "head", waits: MigrationWaits = _WAITS) -> None:
    """Create the schema, or bring an older one up to date. Safe to call from many processes at once, under load.

    Each migration is one transaction: where it has to let others continue, it is rolled back and started again.

    Raises:
        StoreError: a table that has to change was in use all the time.
        StoreUnavailable: the database cannot be reached.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    with engine.connect() as connection, _alone(connection):
        for attempt in Retrying(
            retry=retry_if_exception(_was_in_use),
            wait=wait_random_exponential(max=waits.pause),
            stop=stop_after_delay(waits.all),
            before_sleep=_log_retry,
            retry_error_callback=_give_up,
        ):
            with attempt:
                _migrate(connection, revision, waits.lock)
    # Connections opened before the extension existed do not know its types.
    engine.dispose()


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Let no other process migrate meanwhile.

    The lock is tried again and again and not waited for: a concurrent index build would wait for a transaction that
    waits inside a statement.
    """
    from tenacity import Retrying, retry_if_result, wait_random_exponential

    attempts = Retrying(retry=retry_if_result(lambda taken: not taken), wait=wait_random_exponential(0.05, max=1.0))
    attempts(_locked, connection)
    try:
        yield
    finally:
        connection.rollback()
        locks.give_back(connection, Lock.SCHEMA)
        connection.commit()


def _locked(connection: Connection) -> bool:
    taken = locks.try_take_for_session(connection, Lock.SCHEMA)
    connection.commit()
    return taken


def _migrate(connection: Connection, revision: str, lock_seconds: float) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    # Set for the session, because each migration is a transaction of its own.
    timeout = text("SELECT set_config('lock_timeout', :value, false)")
    connection.execute(timeout, {"value": f"{round(lock_seconds * 1000)}ms"})
    connection.commit()
    try:
        command.upgrade(config, revision)
    finally:
        connection.rollback()
        connection.execute(text("RESET lock_timeout"))
        connection.commit()


def _was_in_use(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, LockNotAvailable | DeadlockDetected)


def _log_retry(state: RetryCallState) -> None:
    pause = state.next_action.sleep if state.next_action is not None else 0.0
    log.warning("a table is in use, so the schema is not changed yet: next attempt in %.0f s", pause)


def _give_up(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    raise StoreError(
        f"the schema could not be changed within {state.seconds_since_start or 0:.0f} s because a table was in use: "
        "find old transactions in pg_stat_activity, end them, and run `saring init` again"
    ) from error


def current_and_head(engine: Engine) -> tuple[str | None, str]:
    """The revision of the database (None: empty) and the newest revision that this code knows."""
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version') IS NULL")).scalar_one():
            return None, head()
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none(), head()


def require_head(engine: Engine) -> None:
    """Check that the database has the newest schema that this code knows.

    Raises:
        StoreNotReady: it has none, or another one.
    """
    current, head = current_and_head(engine)
    if current != head:
        problem = "has no schema yet" if current is None else f"has schema {current}, this version needs {head}"
        raise StoreNotReady(f"the database {problem}: run `saring init`")


def drift(engine: Engine) -> list[object]:
    """Differences between the database and the models; empty where the migrations are complete."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from pipeline.store.tables import Base

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_schema, "compare_type": True})
        return list(compare_metadata(context, Base.metadata))
