"""Files opened for reading: local or at any fsspec address, decompressed, and as UTF-8 whatever their encoding."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any, cast

from pipeline.errors import InputError, first_line

_BUFFER = 1 << 18
_HEAD = 1 << 16
_SAVE_AS_CSV = "save it as 'CSV UTF-8' first"


@contextmanager
def open_stream(path: str) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes; its first bytes decide how it is decompressed.

    A zip archive is read if it holds one file.

    Raises:
        InputError: the file cannot be opened, or is damaged.
    """
    # This and Arrow take long to import, and a line on standard input needs neither.
    import fsspec

    with named_errors(path), fsspec.open(path, "rb", compression=None) as raw:
        source = cast(IO[bytes], raw)
        magic = source.read(4)
        source.seek(0)
        if magic[:2] == b"\x1f\x8b":
            decompressed: Any = gzip.GzipFile(fileobj=source)
        elif magic == b"\x28\xb5\x2f\xfd":
            import pyarrow as pa

            # Unlike zstandard's own reader, Arrow's notices a truncated file.
            decompressed = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
        elif magic == b"PK\x03\x04":
            archive = zipfile.ZipFile(source)
            decompressed = archive.open(_only_member(path, archive))
        else:
            decompressed = source
        yield io.BufferedReader(decompressed, buffer_size=_BUFFER)


def member_of(path: str) -> str:
    """The name of the only file in a zip archive.

    Raises:
        InputError: there is none, or there are several, or the archive cannot be read.
    """
    import fsspec

    with named_errors(path), fsspec.open(path, "rb", compression=None) as raw, zipfile.ZipFile(raw) as archive:
        return _only_member(path, archive)


def _only_member(path: str, archive: zipfile.ZipFile) -> str:
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    if "xl/workbook.xml" in names or "content.xml" in names:
        kind = "an Excel workbook" if "xl/workbook.xml" in names else "a spreadsheet"
        raise InputError(f"{path}: this is {kind}, which cannot be read: {_SAVE_AS_CSV}")
    # macOS adds files of its own.
    names = [name for name in names if not name.startswith("__MACOSX/") and PurePosixPath(name).name[:1] != "."]
    if len(names) != 1:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise InputError(
            f"{path}: the archive holds {len(names)} files ({shown}): unpack it, and name the files to read"
        )
    return names[0]


@contextmanager
def named_errors(path: str) -> Iterator[None]:
    """Raise errors of opening and reading as an `InputError` that names the file."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: the compressed data is damaged or incomplete ({error})") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: this is a folder; name the files in it") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)})") from error
    except (ImportError, NotImplementedError) as error:
        raise InputError(f"{path}: {error}") from error
    except RuntimeError as error:
        if "encrypted" in str(error):
            raise InputError(f"{path}: the archive needs a password: unpack it first") from error
        raise
    except ValueError as error:
        if "Protocol not known" in str(error):
            raise InputError(f"{path}: {error}") from error
        raise


def head_of(stream: io.BufferedReader) -> bytes:
    """The first bytes of a stream that is at its beginning, which stay to be read."""
    return stream.peek(_HEAD)[:_HEAD]


def refuse_binary(path: str, head: bytes) -> None:
    """Check that the first bytes of a file, as UTF-8, are those of a text.

    Raises:
        InputError: they are not.
    """
    if head[:4] == b"PAR1":
        raise InputError(f"{path}: this is a Parquet file; give --format parquet")
    if head[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise InputError(f"{path}: this is an old Excel workbook, which cannot be read: {_SAVE_AS_CSV}")
    controls = sum(byte < 9 or 13 < byte < 32 for byte in head[:8192])
    if head and controls > len(head[:8192]) // 10:
        raise InputError(f"{path}: this is a binary file, not text")


def as_utf8(stream: io.BufferedReader, encoding: str) -> io.BufferedReader:
    """A stream of the same text in UTF-8. Bytes that are not in `encoding` stay, so that their rows are rejected."""
    if encoding == "utf-8":
        return stream
    return io.BufferedReader(_Transcoded(stream, encoding), buffer_size=_BUFFER)


class _Transcoded(io.RawIOBase):
    def __init__(self, source: io.BufferedReader, encoding: str) -> None:
        # The decoders of wide encodings cannot keep a single byte.
        errors = "replace" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        self._source, self._decoder = source, codecs.getincrementaldecoder(encoding)(errors)
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            chunk = self._source.read1(_HEAD)
            self._ended = not chunk
            self._ready = self._decoder.decode(chunk, self._ended).encode("utf-8", "surrogateescape")
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
