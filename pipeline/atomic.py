"""Atomic files and folders: written under a temporary name in the same folder, then renamed.

The temporary name is hidden and unique, so that two processes may write the same file: the later one wins.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: str | bytes, *, mode: int | None = None, durable: bool = False) -> None:
    """Write a file in place of an older one; text as UTF-8. See `new_file`."""
    with new_file(path, mode=mode, durable=durable) as fresh:
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def new_file(path: Path, *, mode: int | None = None, durable: bool = False) -> Iterator[Path]:
    """Give a path to write a file at, and put the file in place of an older one when the block ends.

    Nothing is left of a block that fails.

    Args:
        path: of the file; its folder is there.
        mode: permissions, held from the first byte on; None: those of any new file.
        durable: wait until it is on the disk.
    """
    fresh = _beside(path)
    try:
        if mode is not None:
            os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield fresh
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
    fresh.mkdir()
    try:
        yield fresh
        _swap(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


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
