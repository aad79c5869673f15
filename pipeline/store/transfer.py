"""Copy of whole tables from one store to another, in the text format of PostgreSQL's COPY.

Every version of PostgreSQL and pgvector writes and reads that format, and numbers keep all their bits. Rows are in
order of their key, so that equal tables give equal bytes: the hash of a table's text is the hash of its content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, Engine, text

from pipeline.errors import StoreError, StoreUnavailable
from pipeline.store import locks
from pipeline.store.locks import Lock
from pipeline.store.tables.core import Base

#: bytes of a piece
CHUNK = 8 << 20
_SENT = 1 << 20
#: settings of the session, in place of those of the server, the role or the client
_SESSION = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
_COLUMNS = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
#: the columns that identify a row: the primary key, or all columns of a table without one
_KEY = """
    SELECT a.attname, t.typcollation <> 0
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
        AND (i.indkey IS NULL OR a.attnum = ANY(i.indkey))
    ORDER BY array_position(i.indkey::int2[], a.attnum), a.attnum
"""
_SEQUENCES = """
    SELECT a.attname, pg_get_serial_sequence(quote_ident(%(table)s), a.attname) FROM pg_attribute a
    WHERE a.attrelid = to_regclass(%(table)s) AND a.attidentity <> ''
"""
_FOREIGN_KEYS = """
    SELECT c.conrelid::regclass::text, quote_ident(c.conname), pg_get_constraintdef(c.oid) FROM pg_constraint c
    WHERE c.contype = 'f' AND c.conparentid = 0 AND c.connamespace = current_schema()::regnamespace
        AND c.conrelid::regclass::text = ANY(%s)
    ORDER BY 1, 2
"""
#: indexes that are not part of a constraint
_INDEXES = """
    SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
    WHERE i.indrelid::regclass::text = ANY(%s) AND NOT i.indisprimary
        AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
    ORDER BY 1
"""

Psycopg = psycopg.Connection[Any]


def table_names() -> list[str]:
    """Every table of the store, in order of name."""
    return sorted(Base.metadata.tables)


def known_revisions() -> list[str]:
    """Every revision of the schema that this code knows, oldest first."""
    folder = Path(__file__).parent / "migrations"
    return [script.revision for script in ScriptDirectory(str(folder)).walk_revisions()][::-1]


@contextmanager
def frozen(engine: Engine) -> Iterator[Psycopg]:
    """A connection that sees the store as it is at this moment, whatever others write meanwhile.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection, connection.begin(), _driver_errors():
        # The first statement takes the snapshot.
        yield _prepared(connection)


@contextmanager
def filling(engine: Engine) -> Iterator[Psycopg]:
    """A connection to fill an empty store with, in one transaction: everything or nothing.

    Foreign keys, secondary indexes and triggers are removed first and restored at the end: rows may then come in any
    order, and an index is built once. Restoring the foreign keys checks the rows.

    Raises:
        StoreError: the store is not empty, or refuses the rows.
        StoreUnavailable: the database cannot be reached.
    """
    with engine.begin() as outer, _driver_errors():
        connection = _prepared(outer)
        locks.take(outer, Lock.RESTORE)
        tables = _present(connection)
        if any(not is_empty(connection, table) for table in tables):
            raise StoreError("the database holds rows already, and only an empty database can be filled")
        keys = connection.execute(_FOREIGN_KEYS, [tables]).fetchall()
        indexes = connection.execute(_INDEXES, [tables]).fetchall()
        for table, name, _ in keys:
            _execute(connection, f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in indexes:
            _execute(connection, f"DROP INDEX {name}")
        _each(connection, "ALTER TABLE {} DISABLE TRIGGER USER", tables)
        yield connection
        _each(connection, "ALTER TABLE {} ENABLE TRIGGER USER", tables)
        for _, definition in indexes:
            _execute(connection, definition)
        for table, name, definition in keys:
            _execute(connection, f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


def empty(engine: Engine) -> bool:
    """True where no table holds a row, or there are no tables.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with engine.connect() as connection:
        inner = _prepared(connection)
        return all(is_empty(inner, table) for table in _present(inner))


def is_empty(connection: Psycopg, table: str) -> bool:
    """True where a table holds no row."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table))
    return not _one(connection, query)


def count(connection: Psycopg, table: str) -> int:
    """Number of rows of a table."""
    return int(_one(connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))))


def columns(connection: Psycopg, table: str) -> list[str]:
    """The columns of a table in order; empty if there is no such table."""
    return [name for (name,) in connection.execute(_COLUMNS, [_quoted(connection, table)])]


def read(connection: Psycopg, table: str, names: Sequence[str]) -> Iterator[bytes]:
    """Rows of a table in order of their key, one a line, in pieces of about `CHUNK` bytes that end with a line."""
    key = [
        # By code point, so that the order does not depend on the server's locale.
        sql.SQL('{} COLLATE "C"' if is_text else "{}").format(sql.Identifier(name))
        for name, is_text in connection.execute(_KEY, [_quoted(connection, table)])
    ]
    query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT").format(
        _list(names), sql.Identifier(table), sql.SQL(", ").join(key)
    )
    piece = bytearray()
    with connection.cursor() as cursor, cursor.copy(query) as rows:
        for row in rows:
            piece += row
            if len(piece) >= CHUNK:
                yield bytes(piece)
                piece.clear()
    if piece:
        yield bytes(piece)


def write(connection: Psycopg, table: str, names: Sequence[str], pieces: Iterable[bytes]) -> int:
    """Add rows that `read` gave to a table, and return their number.

    Raises:
        psycopg.Error: the pieces are not rows of this table.
    """
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), _list(names))
    with connection.cursor() as cursor:
        with cursor.copy(query) as rows:
            for piece in pieces:
                for start in range(0, len(piece), _SENT):
                    rows.write(piece[start : start + _SENT])
        return cursor.rowcount


def counters(connection: Psycopg, table: str) -> dict[str, int]:
    """The last number of each identity column of a table; columns without a number yet are left out.

    Sequences do not wait for transactions: read after the rows, they are never behind the rows.
    """
    numbers = {}
    for column, sequence in connection.execute(_SEQUENCES, {"table": table}):
        row = connection.execute("SELECT pg_sequence_last_value(%s::regclass)", [sequence]).fetchone()
        if row is not None and row[0] is not None:
            numbers[column] = int(row[0])
    return numbers


def set_counters(connection: Psycopg, table: str, last: Mapping[str, int]) -> None:
    """Let the identity columns of a table continue after these numbers and after the greatest number in the table."""
    for column, sequence in connection.execute(_SEQUENCES, {"table": table}).fetchall():
        query = sql.SQL("SELECT max({}) FROM {}").format(sql.Identifier(column), sql.Identifier(table))
        greatest = max(_one(connection, query) or 0, last.get(column, 0))
        if greatest:
            connection.execute("SELECT setval(%s::regclass, %s)", [sequence, greatest])


def make_partition(connection: Psycopg, name: str, of: str, value: str) -> None:
    """Make the partition for rows whose partition key is `value`."""
    statement = sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES IN ({})")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(of), sql.Literal(value)))


def paths(connection: Psycopg) -> tuple[dict[str, str], dict[int, str]]:
    """Paths of the files of each model, by version, and of each snapshot, by id."""
    models = connection.execute("SELECT version, path FROM model ORDER BY version").fetchall()
    snapshots = connection.execute("SELECT id, path FROM snapshot ORDER BY id").fetchall()
    return dict(models), dict(snapshots)


def set_paths(connection: Psycopg, models: Mapping[str, str], snapshots: Mapping[int, str]) -> None:
    """Store the paths of the files of models and snapshots, there and in the results of runs."""
    for version, path in models.items():
        for (was,) in connection.execute("SELECT path FROM model WHERE version = %s", [version]).fetchall():
            _change_results(connection, was, path)
        connection.execute("UPDATE model SET path = %s WHERE version = %s", [path, version])
    for number, path in snapshots.items():
        for (was,) in connection.execute("SELECT path FROM snapshot WHERE id = %s", [number]).fetchall():
            _change_results(connection, was, path)
        connection.execute("UPDATE snapshot SET path = %s WHERE id = %s", [path, number])


def _change_results(connection: Psycopg, was: str, path: str) -> None:
    """Put one path in the place of another in the counts and results of runs."""
    if was == path:
        return
    before, after = (json.dumps(place, ensure_ascii=False)[1:-1] for place in (was, path))
    # the first schemas keep no results
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'run' AND column_name = ANY(%s)"
    for (column,) in connection.execute(query, [["counts", "result"]]).fetchall():
        connection.execute(
            sql.SQL("UPDATE run SET {0} = replace({0}::text, %s, %s)::jsonb WHERE strpos({0}::text, %s) > 0").format(
                sql.Identifier(column)
            ),
            [before, after, before],
        )


def encoders(connection: Psycopg) -> list[str]:
    """Every encoder that has, or may have, vectors."""
    return [name for (name,) in connection.execute("SELECT name FROM encoder ORDER BY name")]


def refresh_statistics(engine: Engine) -> None:
    """Update the database's statistics, so that it plans queries well at once."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def remember(connection: Psycopg, origin: str) -> None:
    """Note the backup that a store was filled from, in the same transaction as its rows."""
    connection.execute(sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(sql.Literal(origin)))


def origin(engine: Engine) -> str | None:
    """The note that `remember` made; None if there is no note, or no schema.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with engine.connect() as connection:
        query = sql.SQL("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')")
        note = _one(_prepared(connection), query)
        return None if note is None else str(note)


@contextmanager
def _driver_errors() -> Iterator[None]:
    """Turn errors of the driver into errors of Saring, without their messages: these may quote rows."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise StoreUnavailable(
            f"the connection to the database was lost ({type(error).__name__}): see `saring doctor`"
        ) from error
    except psycopg.Error as error:
        kind = f"{type(error).__name__}, SQLSTATE {error.sqlstate}"
        raise StoreError(f"the database refused a statement ({kind}): see the database's log") from error


def driver(connection: Connection) -> Psycopg:
    """The driver's own connection, which the functions here take."""
    inner = connection.connection.driver_connection
    assert isinstance(inner, psycopg.Connection)
    return inner


def _prepared(connection: Connection) -> Psycopg:
    inner = driver(connection)
    for name, value in _SESSION.items():
        inner.execute("SELECT set_config(%s, %s, true)", [name, value])
    return inner


def _present(connection: Psycopg) -> list[str]:
    return [table for table in table_names() if columns(connection, table)]


def _quoted(connection: Psycopg, table: str) -> str:
    return sql.Identifier(table).as_string(connection)


def _list(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _one(connection: Psycopg, query: sql.SQL | sql.Composed) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def _each(connection: Psycopg, statement: LiteralString, tables: Sequence[str]) -> None:
    for table in tables:
        connection.execute(sql.SQL(statement).format(sql.Identifier(table)))


def _execute(connection: Psycopg, statement: str) -> None:
    # Names and definitions are as the database wrote and quoted them.
    connection.execute(statement)
