"""Rows in PostgreSQL's binary COPY format, packed by hand: this takes a third of the time of adapting each value.

The format (documentation of COPY, "Binary Format"): a header; for each row the number of its fields and for each field
its size and bytes, where size -1 means NULL; a trailer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any

import numpy as np
from psycopg import Connection

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_SIZE = Struct(">i")
_REAL = Struct(">if")
_INTEGER = Struct(">ii")
_BIGINT = Struct(">iq")
_NULL = _SIZE.pack(-1)
_UUID = _SIZE.pack(16)
_BOOLEAN = (b"\0\0\0\1\0", b"\0\0\0\1\1")
_BAND = np.dtype([("fields", ">i2"), ("bucket_size", ">i4"), ("bucket", ">i8"), ("id_size", ">i4"), ("id", "V16")])
#: bytes sent at once
_CHUNK = 1 << 20


def text(value: str | None) -> bytes:
    """A field of type `text`."""
    if value is None:
        return _NULL
    encoded = value.encode()
    return _SIZE.pack(len(encoded)) + encoded


def key(value: bytes | None) -> bytes:
    """A field of type `uuid`, from its 16 bytes."""
    return _NULL if value is None else _UUID + value


def real(value: float) -> bytes:
    """A field of type `real`."""
    return _REAL.pack(4, value)


def integer(value: int) -> bytes:
    """A field of type `integer`."""
    return _INTEGER.pack(4, value)


def bigint(value: int) -> bytes:
    """A field of type `bigint`."""
    return _BIGINT.pack(8, value)


def boolean(value: bool) -> bytes:
    """A field of type `boolean`."""
    return _BOOLEAN[value]


def bands(buckets: Sequence[bytes], keys: Sequence[bytes]) -> bytes:
    """Rows (bigint, uuid) for each key and its buckets (see `near_duplicates.packed_buckets`), in order of bucket.

    The order is the index's, which makes writing faster.
    """
    numbers = np.frombuffer(b"".join(buckets), dtype="<i8")
    repeats = [len(packed) // 8 for packed in buckets]
    order = np.argsort(numbers)
    rows = np.zeros(len(numbers), dtype=_BAND)
    rows["fields"], rows["bucket_size"], rows["id_size"] = 2, 8, 16
    rows["bucket"] = numbers[order]
    rows["id"] = np.frombuffer(b"".join(keys), dtype="V16").repeat(repeats)[order]
    return rows.tobytes()


def copy(connection: Connection[Any], into: str, packed: Iterable[bytes]) -> None:
    """Copy packed rows into a table.

    Args:
        connection: the caller's transaction.
        into: the table and its columns in order, as ``name (column, ...)``.
        packed: rows, each with its number of fields (two bytes, most significant first) before them.
    """
    data = b"".join((_HEADER, *packed, _TRAILER))
    with connection.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN (FORMAT BINARY)") as stream:
        for start in range(0, len(data), _CHUNK):
            stream.write(data[start : start + _CHUNK])
