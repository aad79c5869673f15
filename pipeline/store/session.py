"""Connections to the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from pgvector.psycopg import register_vector
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session

from pipeline.errors import StoreUnavailable, first_line

#: A network that loses packets without a word leaves connections that look alive: one that waits for an answer would
#: wait for two hours, and one that sent something for a quarter of one. So silence of 20 seconds is the end of a
#: connection. Libpq leaves these out for a Unix socket, but for the first.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "20000",
}
#: The same for the server's end of it. Until the server finds out, it keeps what the lost session held: the lock of a
#: shard, and the rows of a transaction that stood open, on which every other worker may be waiting.
_SERVERS_PATIENCE = """
    SELECT set_config(name, wanted.value, false)
    FROM (VALUES ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '2'),
        ('tcp_user_timeout', '20000')) AS wanted (name, value)
    JOIN pg_settings USING (name)
    WHERE source NOT IN ('client', 'user', 'database', 'database user')
"""


def make_engine(url: str) -> Engine:
    """An engine for a ``postgresql+psycopg://`` address; plain ``postgresql://`` addresses are taken as such too.

    Whatever is done with it raises StoreUnavailable when the database cannot be reached. How long silence is borne is
    up to the address, if it says so (libpq's `connect_timeout`, `keepalives_*`, `tcp_user_timeout`; for the server's
    end `options=-c tcp_keepalives_idle=...`, or what is set for the user or the database).
    """
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    said = make_url(url).query
    patience = {name: value for name, value in _PATIENCE.items() if name not in said}
    engine = create_engine(url, pool_pre_ping=True, connect_args=patience)

    @event.listens_for(engine, "connect")
    def _register(connection: psycopg.Connection[object], _record: object) -> None:
        # A database that has no pgvector yet is met once, by the first migration.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_type WHERE typname = 'halfvec'")
            known = cursor.fetchone()
            if not connection.info.host.startswith(("/", "@")):
                # not in the address's `options`, which poolers refuse
                cursor.execute(_SERVERS_PATIENCE)
        connection.commit()
        if known:
            register_vector(connection)
            connection.rollback()

    @event.listens_for(engine, "handle_error")
    def _say_what_to_do(context: ExceptionContext) -> None:
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
