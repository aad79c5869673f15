"""An archive: a tar, compressed with Zstandard, that is written and read as one stream and never held in memory.

It ends with a manifest of all before it and the manifest's own hash, so one that was cut short or altered anywhere is
told from a whole one. `tar --zstd -xf` opens it too.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa

from pipeline.errors import BackupError

_CODEC = "zstd"
_BLOCK = 1 << 20


class Readable(Protocol):
    """Anything that bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class Writer:
    """Adds pieces to an archive that is being written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, data: bytes) -> None:
        """Add a piece."""
        self.copy(name, io.BytesIO(data), len(data))

    def copy(self, name: str, source: Readable, size: int, mode: int = 0o600) -> str:
        """Add a piece of `size` bytes, with the permissions that it has as a file; its SHA-256.

        Raises:
            BackupError: the source held less.
        """
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, mode & 0o777
        hashed = _Hashed(source)
        try:
            self._tar.addfile(member, _as_file(hashed))
        except OSError as error:
            if error.errno is not None:
                raise
            raise BackupError(f"{name} became shorter while it was read: run the backup again") from error
        return hashed.digest.hexdigest()


class Piece:
    """A piece of an archive that is being read. Reading goes on where it ended, and what it raises is a BackupError."""

    def __init__(self, archive: Path, name: str, size: int, mode: int, stream: IO[bytes]) -> None:
        self.name, self.size, self.mode = name, size, mode & 0o777
        self._archive, self._stream = archive, stream
        self._digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        with _damage(self._archive, self.name):
            data = self._stream.read(size)
        self._digest.update(data)
        return data

    def blocks(self) -> Iterator[bytes]:
        """All that wasn't read yet."""
        while block := self.read(_BLOCK):
            yield block

    def sha256(self) -> str:
        """The hash of all of it; reads what wasn't read yet."""
        for _ in self.blocks():
            pass
        return self._digest.hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write an archive, for its owner's eyes only: it has its name when it is whole, and leaves nothing otherwise."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with (
            os.fdopen(descriptor, "wb") as file,
            pa.CompressedOutputStream(pa.PythonFile(file, "w"), _CODEC) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            yield Writer(tar)
        _settle(fresh)
        fresh.replace(path)
        _settle(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def pieces(path: Path) -> Iterator[Piece]:
    """The pieces of an archive, in order; each can be read until the next one is asked for.

    Raises:
        BackupError: it cannot be read, is no archive, is damaged, or holds what no backup does.
    """
    seen: set[str] = set()
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        with _damage(path):
            tar = tarfile.open(  # noqa: SIM115 - nothing is behind it but the file
                fileobj=pa.CompressedInputStream(pa.PythonFile(file, "r"), _CODEC), mode="r|"
            )
        while True:
            with _damage(path):
                member = tar.next()
                # the list that tarfile keeps for going back would grow with the archive
                tar.members = []  # type: ignore[attr-defined]
            if member is None:
                return
            if not member.isreg() or member.name in seen or not is_inside(member.name):
                raise BackupError(f"{path}: holds {member.name!r}, which no backup does: refused")
            seen.add(member.name)
            stream = tar.extractfile(member)
            assert stream is not None
            yield Piece(path, member.name, member.size, member.mode, stream)


def is_inside(name: str) -> bool:
    """True where a piece's name, taken as a path, stays in the folder that it is unpacked in."""
    parts = name.split("/")
    # as tarfile.data_filter does, which early releases of Python 3.11 lack
    return name.isprintable() and not set(parts) & {"", ".", ".."} and "\\" not in name and ":" not in parts[0]


@contextmanager
def _damage(path: Path, name: str | None = None) -> Iterator[None]:
    where = f"{path}: {name}" if name else str(path)
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BackupError(f"{where}: not a whole backup ({error}): take another copy of it") from error
    except OSError as error:
        # what unpacks says what is wrong in words alone; the disk gives a number too
        raise BackupError(f"{where}: cut short, altered or unreadable ({error}): take another copy of it") from error


class _Hashed:
    """A source that is hashed as it is read."""

    def __init__(self, source: Readable) -> None:
        self.digest = hashlib.sha256()
        self._source = source

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data


def _as_file(source: Readable) -> Any:
    """For typeshed, which asks of `addfile` more than it uses."""
    return source


def _settle(path: Path) -> None:
    """Wait until it is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
