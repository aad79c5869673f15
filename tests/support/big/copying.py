"""Rows into tables by COPY, while the next ones are being made, and without the indexes that are made afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import Engine

#: parts that wait to be written
_WAITING = 4
#: signature, flags and no extension; the end is a count of fields of -1
_BINARY_HEAD, _BINARY_END = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def field(value: object) -> str:
    """A value as COPY reads it."""
    match value:
        case None:
            return "\\N"
        case bool():
            return "t" if value else "f"
        case datetime():
            return value.isoformat()
        case int() | float() | uuid.UUID():
            return str(value)
        case dict():
            return orjson.dumps(value).decode().translate(_ESCAPED)
        case list() | tuple():
            return array_of(value).translate(_ESCAPED)
        case _:
            return str(value).translate(_ESCAPED)


def array_of(words: Sequence[object]) -> str:
    """Words as an array, before COPY's own escapes."""
    quoted = (str(word).replace("\\", "\\\\").replace('"', '\\"') for word in words)
    return "{" + ",".join(f'"{word}"' for word in quoted) + "}"


def lines(rows: Sequence[Sequence[object]]) -> bytes:
    """Rows as COPY reads them."""
    return "".join("\t".join(map(field, row)) + "\n" for row in rows).encode()


def vectors_as_rows(encoder: str, ids: Sequence[uuid.UUID], vectors: NDArray[np.float32]) -> bytes:
    """Rows of `text_vector` in the binary form, all of the same size: encoder, id, and half precision numbers."""
    name = encoder.encode()
    dimension = vectors.shape[1]
    layout = np.dtype(
        [
            ("fields", ">i2"),
            ("name_size", ">i4"),
            ("name", f"S{len(name)}"),
            ("id_size", ">i4"),
            ("id", "V16"),
            ("size", ">i4"),
            ("dimension", ">i2"),
            ("unused", ">i2"),
            ("numbers", ">f2", (dimension,)),
        ]
    )
    rows = np.zeros(len(ids), dtype=layout)
    rows["fields"], rows["name_size"], rows["name"] = 3, len(name), name
    rows["id_size"], rows["id"] = 16, np.frombuffer(b"".join(one.bytes for one in ids), dtype="V16")
    rows["size"], rows["dimension"], rows["numbers"] = 4 + 2 * dimension, dimension, vectors
    return _BINARY_HEAD + rows.tobytes() + _BINARY_END


class Copier:
    """Writes into one database, in a thread of its own, in the order of the calls."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        #: for other statements, once `wait` has returned
        self.connection = connection
        self._thread = ThreadPoolExecutor(1)
        self._pending: list[Future[None]] = []

    def rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write rows of Python values."""
        if rows:
            self.text(table, columns, lines(rows))

    def text(self, table: str, columns: Sequence[str], data: bytes) -> None:
        """Write rows in COPY's own form."""
        self._later(table, columns, data, sql.SQL(""))

    def binary(self, table: str, columns: Sequence[str], data: bytes) -> None:
        """Write rows in COPY's binary form."""
        self._later(table, columns, data, sql.SQL("(FORMAT BINARY)"))

    def wait(self) -> None:
        """Wait until everything is written; raise what went wrong."""
        for pending in self._pending:
            pending.result()
        self._pending = []

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _later(self, table: str, columns: Sequence[str], data: bytes, how: sql.SQL) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN {}").format(sql.Identifier(table), names, how)
        self._pending.append(self._thread.submit(self._write, statement, data))
        while len(self._pending) > _WAITING:
            self._pending.pop(0).result()

    def _write(self, statement: sql.Composed, data: bytes) -> None:
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(data)


@contextmanager
def copier(engine: Engine) -> Iterator[Copier]:
    """A copier into the store. Foreign keys are not checked: the caller knows that its rows refer to each other."""
    raw = engine.raw_connection()
    connection: Any = raw.driver_connection
    try:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '512MB'")
        writing = Copier(connection)
        try:
            yield writing
            writing.wait()
        finally:
            writing.close()
        connection.execute("RESET session_replication_role")
        connection.commit()
    finally:
        raw.invalidate()


def drop_indexes(connection: psycopg.Connection[Any], tables: Sequence[str]) -> list[str]:
    """Drop the tables' indexes that no constraint needs, and return the statements that make them again."""
    found = connection.execute(
        """
        SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
        WHERE i.indrelid::regclass::text = ANY(%s) AND NOT i.indisunique
        """,
        [list(tables)],
    ).fetchall()
    for name, _ in found:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.SQL(name)))
    return [definition for _, definition in found]
