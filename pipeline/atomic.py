"""Atomic files and folders: written under a temporary name in the same folder, then renamed.

The temporary name is hidden and unique, so that two processes may write the same file: the later one wins.

Most of what is written holds texts that people wrote, so files are for their owner's eyes only, and folders too.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: permissions of files and of folders: for their owner only
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def make_folder(path: Path) -> None:
    """Make a folder, and those that it lies in, as far as they are not there; what is there stays as it is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    # where something else has the name, it says so
    path.mkdir(exist_ok=True)


def private(path: str, flags: int) -> int:
    """Opener for `open`: a file that it makes is for its owner only."""
    return os.open(path, flags, PRIVATE_FILE)


def write_file(path: Path, content: str | bytes, *, mode: int = PRIVATE_FILE, durable: bool = False) -> None:
    """Write a file in place of an older one; text as UTF-8. See `new_file`."""
    with new_file(path, mode=mode, durable=durable) as fresh:
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)


def make_once(path: Path, content: bytes) -> None:
    """Write a file that is not there yet. Where another process is first, its file stays.

    Folders that it lies in are made, for their owner only.
    """
    make_folder(path.parent)
    fresh = _beside(path)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
        file.write(content)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


@contextmanager
def new_file(path: Path, *, mode: int = PRIVATE_FILE, durable: bool = False) -> Iterator[Path]:
    """Give a path to write a file at, and put the file in place of an older one when the block ends.

    Nothing is left of a block that fails.

    Args:
        path: of the file; its folder is there.
        mode: permissions, held from the first byte on.
        durable: wait until it is on the disk.
    """
    fresh = _beside(path)
    try:
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield fresh
        # some libraries put a new file in the place of the one that they are given
        fresh.chmod(mode)
        if durable:
            to_disk(fresh)
        fresh.replace(path)
        if durable:
            to_disk(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, and put it in place of an older one when the block ends.

    Nothing is left of a block that fails, and the older folder stays as it was.

    Args:
        path: of the folder; the one that it lies in is there.
    """
    fresh = _beside(path)
    fresh.mkdir(mode=PRIVATE_FOLDER)
    try:
        yield fresh
        _close_to_others(fresh)
        _swap(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _close_to_others(folder: Path) -> None:
    for inner, _, names in os.walk(folder):
        Path(inner).chmod(PRIVATE_FOLDER)
        for name in names:
            Path(inner, name).chmod(PRIVATE_FILE)


def _swap(fresh: Path, path: Path) -> None:
    if not path.exists():
        fresh.rename(path)
        return
    old = _beside(path)
    path.rename(old)
    try:
        fresh.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def to_disk(path: Path) -> None:
    """Wait until what was written to a file, or renamed in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    # A relative path, such as ".", may have no name.
    path = path.absolute()
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
