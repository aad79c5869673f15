"""Databases on the tests' own PostgreSQL server: made for a test, or for the tests of a file, and dropped after it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from pipeline.store import make_engine
from pipeline.store.migrate import upgrade

_TEMPLATE = "saring_template"


@contextmanager
def new_database(server_url: str, template: str | None = None) -> Iterator[str]:
    """Make a database as a copy of another, give its address, and drop it when the block ends.

    Without a `template` it is as empty as one that somebody made by hand, and has no pgvector.
    """
    name = f"test_{secrets.token_hex(6)}"
    # file by file: it is small, and page by page takes ten times the processor time
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    administer(server_url, copy.format(sql.Identifier(name), sql.Identifier(template or "template0")))
    yield address(server_url, name)
    administer(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def relax(server_url: str) -> None:
    """Let a server leave it to the operating system when files reach the disk.

    A process that is killed loses nothing by it, and a machine that loses power takes the tests with it. Making and
    dropping a database for each test waits for the disk otherwise, for longer than most tests take.
    """
    for name in ("fsync", "full_page_writes"):
        administer(server_url, sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(name)))
    administer(server_url, sql.SQL("SELECT pg_reload_conf()"))


def make_template(server_url: str) -> str:
    """Make a database with the schema and nothing in it; its name."""
    administer(server_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    engine = make_engine(address(server_url, _TEMPLATE))
    upgrade(engine)
    engine.dispose()
    return _TEMPLATE


def address(server_url: str, database: str) -> str:
    """Return the address of a database on the server."""
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


def allow_connections(server_url: str, database: str, allowed: bool) -> None:
    """Let a database be connected to, or end its connections and let nobody in."""
    change = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    administer(server_url, change.format(sql.Identifier(database), sql.SQL("true" if allowed else "false")))
    if not allowed:
        end = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
        administer(server_url, end.format(sql.Literal(database)))


def administer(server_url: str, statement: sql.Composed | sql.SQL) -> None:
    """Run a statement about databases, outside of any transaction."""
    plain = make_url(server_url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(statement)
