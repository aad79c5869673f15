"""Connections to the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from pgvector.psycopg import register_vector
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from pipeline.errors import StoreUnavailable, first_line

#: Libpq's settings that end a connection after about 20 seconds without an answer. A network that loses packets leaves
#: connections that look alive: by default a process that waits for an answer waits two hours, and a process that sent
#: something waits 15 minutes. On a Unix socket libpq uses the first setting only.
_TIMEOUTS = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "20000",
}
#: The same for the server's end. Until the server notices, it keeps the locks of the lost session: the lock of a
#: shard, and the rows of an open transaction, for which all other workers may be waiting.
_SERVER_TIMEOUTS = """
    SELECT set_config(name, wanted.value, false)
    FROM (VALUES ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '2'),
        ('tcp_user_timeout', '20000')) AS wanted (name, value)
    JOIN pg_settings USING (name)
    WHERE source NOT IN ('client', 'user', 'database', 'database user')
"""


class _Pool(QueuePool):
    """The pool of connections; where all stay in use, the database cannot be reached for now."""

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except PoolTimeout as error:
            raise StoreUnavailable(
                "all connections of this process to the database stay in use: try again in a moment"
            ) from error


def make_engine(url: str) -> Engine:
    """An engine for a ``postgresql+psycopg://`` address; ``postgresql://`` means the same.

    Every use of the engine raises StoreUnavailable when the database cannot be reached. The address may set other
    timeouts (libpq's `connect_timeout`, `keepalives_*`, `tcp_user_timeout`). For the server's end,
    `options=-c tcp_keepalives_idle=...` and settings of the user or the database have priority.
    """
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    own = make_url(url).query
    timeouts = {name: value for name, value in _TIMEOUTS.items() if name not in own}
    engine = create_engine(url, poolclass=_Pool, pool_pre_ping=True, connect_args=timeouts)

    @event.listens_for(engine, "connect")
    def _register(connection: psycopg.Connection[object], _record: object) -> None:
        # Only the first migration connects to a database that has no pgvector yet.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_type WHERE typname = 'halfvec'")
            known = cursor.fetchone()
            if not connection.info.host.startswith(("/", "@")):
                # The address's `options` could set them too, but connection poolers refuse `options`.
                cursor.execute(_SERVER_TIMEOUTS)
        connection.commit()
        if known:
            register_vector(connection)
            connection.rollback()

    @event.listens_for(engine, "handle_error")
    def _raise_unavailable(context: ExceptionContext) -> None:
        error = context.original_exception
        unreachable = context.connection is None or context.is_disconnect
        if isinstance(error, psycopg.OperationalError) and unreachable and not context.is_pre_ping:
            raise StoreUnavailable(
                f"the database cannot be reached ({first_line(error)}); run `saring up` or `saring doctor`"
            ) from error

    return engine


@contextmanager
def open_session(engine: Engine) -> Iterator[Session]:
    """A session that is rolled back unless its work is committed.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with Session(engine, expire_on_commit=False) as session:
        yield session
