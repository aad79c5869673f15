"""Connections to the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from pgvector.psycopg import register_vector
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session

from pipeline.errors import StoreUnavailable


def make_engine(url: str) -> Engine:
    """An engine for a ``postgresql+psycopg://`` address; plain ``postgresql://`` addresses are taken as such too.

    Whatever is done with it raises StoreUnavailable when the database cannot be reached.
    """
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    engine = create_engine(url, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def _register(connection: psycopg.Connection[object], _record: object) -> None:
        # A database that has no pgvector yet is met once, by the first migration.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_type WHERE typname = 'halfvec'")
            known = cursor.fetchone()
        connection.rollback()
        if known:
            register_vector(connection)
            connection.rollback()

    @event.listens_for(engine, "handle_error")
    def _say_what_to_do(context: ExceptionContext) -> None:
        error = context.original_exception
        unreachable = context.connection is None or context.is_disconnect
        if isinstance(error, psycopg.OperationalError) and unreachable and not context.is_pre_ping:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise StoreUnavailable(
                f"the database cannot be reached ({first}); run `saring up` or `saring doctor`"
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
