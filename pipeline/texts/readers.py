"""Readers of files: JSON lines, CSV, Parquet and plain text, plain or compressed, local or at any fsspec address.

All readers stream. A line longer than `MAX_LINE` bytes is skipped without being kept in memory.
"""

from __future__ import annotations

import csv
import gzip
import io
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple, cast

from pipeline.errors import InputError, first_line
from pipeline.texts.rejects import Reject

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
    """One row of a file: a line of bytes (JSON lines, plain text) or named values (CSV, Parquet)."""

    line: int
    payload: bytes | dict[str, Any]


_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".txt": Format.TXT,
}
_COMPRESSED = (".gz", ".zst", ".zstd")
_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")


def format_of(path: str) -> Format:
    """The format of a file by the ending of its name.

    Raises:
        InputError: the ending is not known.
    """
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    if suffixes and suffixes[-1] in _WORKBOOKS:
        raise InputError(f"{path}: spreadsheets cannot be read; save it as 'CSV UTF-8' first")
    raise InputError(
        f"{path}: the name does not show the format; name a file, or give --format jsonl, csv, parquet or txt"
    )


def read_rows(path: str, form: Format, *, follow: Callable[[], bool] | None = None) -> Iterator[RawRow | Reject]:
    """Stream the rows of one file, in order.

    Args:
        path: a local path or any fsspec address (``hf://``, ``s3://``, ``https://``).
        form: the file's format.
        follow: for lines only: called at the end of the file; True: read on; None: stop at the end.

    Raises:
        InputError: the file cannot be opened, or has another format.
    """
    if form is Format.PARQUET:
        yield from _parquet_rows(path)
        return
    with open_stream(path) as stream:
        _refuse_binary(path, stream)
        if form is Format.CSV:
            yield from _csv_rows(path, stream)
        else:
            yield from _lines(path, stream, follow)


@contextmanager
def open_stream(path: str) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes; its first bytes decide how it is decompressed.

    Raises:
        InputError: the file cannot be opened, or is damaged.
    """
    # This and Arrow take long to import, and a line on standard input needs neither.
    import fsspec

    with _named_errors(path), fsspec.open(path, "rb", compression=None) as raw:
        source = cast(IO[bytes], raw)
        magic = source.read(4)
        source.seek(0)
        if magic[:2] == b"\x1f\x8b":
            decompressed: Any = gzip.GzipFile(fileobj=source)
        elif magic == b"\x28\xb5\x2f\xfd":
            import pyarrow as pa

            # Unlike zstandard's own reader, Arrow's notices a truncated file.
            decompressed = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
        else:
            decompressed = source
        yield io.BufferedReader(decompressed, buffer_size=1 << 18)


@contextmanager
def _named_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the compressed data is damaged or incomplete ({error})") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: this is a folder; name the files in it") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)})") from error
    except ImportError as error:
        raise InputError(f"{path}: {error}") from error
    except ValueError as error:
        if "Protocol not known" in str(error):
            raise InputError(f"{path}: {error}") from error
        raise


def _refuse_binary(path: str, stream: io.BufferedReader) -> None:
    head = stream.peek(8192)[:8192]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path}: this is UTF-16 text; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)")
    if head[:4] == b"PAR1":
        raise InputError(f"{path}: this is a Parquet file; give --format parquet")
    controls = sum(byte < 9 or 13 < byte < 32 for byte in head)
    if head and controls > len(head) // 10:
        raise InputError(f"{path}: this is a binary file, not text")


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


def _csv_rows(path: str, stream: io.BufferedReader) -> Iterator[RawRow | Reject]:
    csv.field_size_limit(MAX_LINE)
    # Bytes that are not UTF-8 become lone surrogates here; the preparation of each row rejects them.
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        too_long: list[int] = []
        reader = csv.reader(_bounded(text, too_long))
        try:
            header = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{path}:1: not CSV ({error})") from error
        while header is not None:
            start = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Reject(path, start, "not valid CSV", str(error))
                continue
            if too_long:
                yield Reject(path, start, "line too long", f"{max(too_long)} characters; at most {MAX_LINE}")
                too_long.clear()
            elif values and len(values) != len(header):
                yield Reject(path, start, "ragged row", f"{len(values)} fields; the header has {len(header)}")
            elif values:
                yield RawRow(start, dict(zip(header, values, strict=True)))


def _bounded(text: io.TextIOWrapper, too_long: list[int]) -> Iterator[str]:
    """Lines of a file; a line that is too long is skipped, and its length is added to `too_long`."""
    while line := text.readline(MAX_LINE + 1):
        if len(line) <= MAX_LINE or line.endswith("\n"):
            yield line
            continue
        size = len(line)
        while not line.endswith("\n") and (line := text.readline(MAX_LINE)):
            size += len(line)
        too_long.append(size)
        yield "\n"


def _parquet_rows(path: str) -> Iterator[RawRow | Reject]:
    import fsspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _named_errors(path), fsspec.open(path, "rb") as stream:
        try:
            number = 0
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=_PARQUET_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield RawRow(number, values)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: not a Parquet file, or damaged ({first_line(error)})") from error


def wait_for_more(interval: float) -> Callable[[], bool]:
    """A `follow` function that waits `interval` seconds each time a file has no more lines."""

    def wait() -> bool:
        time.sleep(interval)
        return True

    return wait
