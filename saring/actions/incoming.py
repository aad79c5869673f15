"""The folder of files that may be read into the store without a command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError
from pipeline.settings import Settings
from pipeline.texts.readers import format_of

#: folders below the folder in which files are looked for, and files that are listed
_DEPTH, _MOST = 3, 200


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
