"""Readers of files: JSON lines, CSV, Parquet and plain text, plain or compressed, local or at any fsspec address.

The first bytes show what the name does not: the encoding, the delimiter of CSV, and whether JSON is in lines or one
list. All readers stream. A line longer than `MAX_LINE` bytes is skipped without being kept in memory.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from pipeline.errors import InputError, first_line
from pipeline.texts.class_names import named_classes, with_names
from pipeline.texts.csv_rows import csv_rows
from pipeline.texts.json_values import is_spread, spread_objects
from pipeline.texts.layout import Layout, dialect_of, encoding_of
from pipeline.texts.rejects import Reject
from pipeline.texts.streams import as_utf8, head_of, member_of, named_errors, open_stream, refuse_binary

#: longest line of a row, in bytes
MAX_LINE = 1 << 20
_PARQUET_BATCH = 2_000


class Format(StrEnum):
    """The format of a file."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    TXT = "txt"


class RawRow(NamedTuple):
    """One row of a file: a line of bytes in UTF-8 (JSON lines, plain text) or named values (all else)."""

    line: int
    payload: bytes | dict[str, Any]


_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".tab": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".txt": Format.TXT,
}
_COMPRESSED = (".gz", ".zst", ".zstd")
_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")
_AS_FOUND = Layout()


def format_of(path: str) -> Format:
    """The format of a file by the ending of its name; of a zip archive, by the name of the file in it.

    Raises:
        InputError: the ending is not known.
    """
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    if suffixes and suffixes[-1] == ".zip":
        member = member_of(path)
        if member.lower().endswith(".zip"):
            raise InputError(f"{path}: the archive holds another archive ({member}): unpack it first")
        return format_of(member)
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    if suffixes and suffixes[-1] in _WORKBOOKS:
        kind = "spreadsheets" if suffixes[-1] == ".ods" else "Excel workbooks"
        raise InputError(f"{path}: {kind} cannot be read: save it as 'CSV UTF-8' first")
    raise InputError(
        f"{path}: the name does not show the format; name a file, or give --format jsonl, csv, parquet or txt"
    )


def read_rows(
    path: str, form: Format, *, layout: Layout = _AS_FOUND, follow: Callable[[], bool] | None = None
) -> Iterator[RawRow | Reject]:
    """Stream the rows of one file, in order.

    Args:
        path: a local path or any fsspec address (``hf://``, ``s3://``, ``https://``).
        form: the file's format.
        layout: what the caller knows of the encoding and the delimiter; the rest is found.
        follow: for lines only: called at the end of the file; True: read on; None: stop at the end.

    Raises:
        InputError: the file cannot be opened, or has another format.
    """
    if form is Format.PARQUET:
        yield from _parquet_rows(path)
        return
    with open_stream(path) as stream:
        encoding = layout.encoding or encoding_of(head_of(stream))
        stream = as_utf8(stream, encoding)
        head = head_of(stream)
        refuse_binary(path, head)
        if form is Format.CSV:
            yield from _csv_rows(path, stream, head, layout)
        elif form is Format.JSONL and follow is None and is_spread(_text_of(head)):
            with _as_text(stream) as text:
                for row in spread_objects(path, text):
                    yield row if isinstance(row, Reject) else RawRow(*row)
        else:
            yield from _lines(path, stream, follow)


def _lines(path: str, stream: io.BufferedReader, follow: Callable[[], bool] | None) -> Iterator[RawRow | Reject]:
    number = 0
    pending = b""
    while True:
        line = pending + stream.readline(MAX_LINE + 1 - len(pending))
        pending = b""
        if not line.endswith(b"\n") and len(line) <= MAX_LINE and follow is not None and follow():
            # The writer has not finished the line.
            pending = line
            continue
        if not line:
            return
        number += 1
        if len(line) > MAX_LINE:
            size = len(line) + _skip_line(stream) if not line.endswith(b"\n") else len(line)
            yield Reject(path, number, "line too long", f"{size} bytes; at most {MAX_LINE}")
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield RawRow(number, line.rstrip(b"\r\n"))


def _skip_line(stream: io.BufferedReader) -> int:
    skipped = 0
    while chunk := stream.readline(MAX_LINE):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped


def _csv_rows(path: str, stream: io.BufferedReader, head: bytes, layout: Layout) -> Iterator[RawRow | Reject]:
    whole = len(head) == 0 or len(stream.peek(len(head) + 1)) <= len(head)
    dialect, before = dialect_of(_text_of(head), whole=whole, delimiter=layout.delimiter)
    with _as_text(stream) as text:
        for row in csv_rows(path, text, dialect, before=before, longest=MAX_LINE):
            yield row if isinstance(row, Reject) else RawRow(*row)


def _text_of(head: bytes) -> str:
    return head.decode("utf-8-sig", "replace")


def _as_text(stream: io.BufferedReader) -> io.TextIOWrapper:
    # Bytes that are not UTF-8 become lone surrogates here; the preparation of each row rejects them.
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _parquet_rows(path: str) -> Iterator[RawRow | Reject]:
    import fsspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    with named_errors(path), fsspec.open(path, "rb") as stream:
        try:
            number = 0
            file = pq.ParquetFile(stream)
            names = named_classes(file.schema_arrow.metadata)
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield RawRow(number, with_names(values, names) if names else values)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: not a Parquet file, or damaged ({first_line(error)})") from error


def wait_for_more(interval: float) -> Callable[[], bool]:
    """A `follow` function that waits `interval` seconds each time a file has no more lines."""

    def wait() -> bool:
        time.sleep(interval)
        return True

    return wait
