"""The folder of files that may be read into the store without a command line."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import InputError, UsageError
from pipeline.settings import Settings
from pipeline.texts.readers import format_of

#: folders below the folder in which files are looked for, and files that are listed
_DEPTH, _MOST = 3, 200
#: letters of a name; the file system takes 255 bytes
_LONGEST_NAME = 120
#: the beginning of an upload's name until it is whole; such files are not listed
_UNFINISHED = ".upload-"
_FORGOTTEN = timedelta(days=1)


#: sentences about files that are not taken, with places for values, so that a page can translate them
BAD_NAME = "The file's name cannot be used here: give it one of up to %(most)s letters."
TAKEN = "There is a file %(name)s already: give yours another name."
TOO_LARGE = "%(name)s has more than %(most)s MB: put it into %(folder)s on the server."
EMPTY = "%(name)s is empty."
NOT_WRITTEN = "The file cannot be written to %(folder)s on the server (%(why)s)."
REFUSALS = (BAD_NAME, TAKEN, TOO_LARGE, EMPTY, NOT_WRITTEN)


class UploadRefused(UsageError):
    """A file that was uploaded cannot be kept."""

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message % values)
        #: with places for values, which are beside it
        self.message, self.values = message, values


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file of the folder."""

    #: its path from the folder on
    name: str
    size: int
    #: time of its last change, in seconds since 1970
    changed: float


def incoming_files(settings: Settings) -> list[IncomingFile]:
    """The files of the folder whose names show a format, the newest first: 200 at most."""
    folder = settings.incoming_dir
    files = []
    for path in _walk(folder, _DEPTH):
        try:
            format_of(path.name)
            stat = incoming_file(settings, path.relative_to(folder).as_posix()).stat()
        except (InputError, OSError):
            continue
        files.append(IncomingFile(path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime))
    return sorted(files, key=lambda file: (-file.changed, file.name))[:_MOST]


def incoming_file(settings: Settings, name: str) -> Path:
    """The file of that name in the folder, with all links followed.

    Raises:
        InputError: there is no such file, or it is outside of the folder.
    """
    folder = settings.incoming_dir.resolve()
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder) and path.is_file()
    except (OSError, ValueError, RuntimeError):
        # too long, a zero byte, or a link that leads to itself
        inside = False
    if not inside:
        raise InputError(f"there is no file {name!r} in {settings.incoming_dir}: put it there first")
    return path


def keep_upload(settings: Settings, name: str, content: BinaryIO, *, now: datetime) -> str:
    """Write a file into the folder, whole or not at all; its name there.

    Args:
        settings: name the folder, which is made if need be, and the largest size.
        name: as the browser gives it; folders before it are left out.
        content: read to its end.
        now: what uploads left behind that were killed more than a day ago is removed.

    Raises:
        UploadRefused: the name cannot be one in this folder, there is such a file, or the file is too large, empty, or
            cannot be written.
        InputError: no reader knows this format.
    """
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    if not name or name.startswith(".") or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UploadRefused(BAD_NAME, most=_LONGEST_NAME)
    folder = settings.incoming_dir
    beside = folder / f"{_UNFINISHED}{secrets.token_hex(8)}-{name}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_unfinished(folder, now)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            shutil.copyfileobj(content, file)
        _check(settings, name, beside)
        # unlike a renaming, this never takes the place of another file
        os.link(beside, folder / name)
    except FileExistsError:
        raise UploadRefused(TAKEN, name=name) from None
    except OSError as error:
        raise UploadRefused(NOT_WRITTEN, folder=folder, why=error.strerror) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
    return name


def _remove_unfinished(folder: Path, now: datetime) -> None:
    for path in folder.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < (now - _FORGOTTEN).timestamp():
                path.unlink()


def _check(settings: Settings, name: str, written: Path) -> None:
    size = written.stat().st_size
    if size > settings.upload_most_mb * 1_000_000:
        raise UploadRefused(TOO_LARGE, name=name, most=settings.upload_most_mb, folder=settings.incoming_dir)
    if not size:
        raise UploadRefused(EMPTY, name=name)
    try:
        format_of(str(written))
    except InputError as error:
        raise InputError(str(error).replace(str(written), name)) from None


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_file():
            yield entry
        elif depth and entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry, depth - 1)
