"""Archives that lie elsewhere: at any address that fsspec knows, such as s3://bucket/folder."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from pipeline.atomic import make_folder
from pipeline.errors import BackupError, UsageError


@contextmanager
def sending(target: str, name: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """Open the place to write an archive to, and tell it: `target`, or a file called `name` if that is a folder.

    One that goes elsewhere is written below `folder` first, then sent, and only then given its name there.

    Raises:
        UsageError: there is something of that name already.
        BackupError: the address cannot be used.
    """
    if "://" not in target:
        path = Path(target).expanduser().absolute()
        path = path / name if path.is_dir() or target.endswith("/") else path
        if path.exists():
            raise UsageError(f"{path} exists: name another file, or a folder")
        make_folder(path.parent)
        yield path, str(path)
        return
    system, where = _open(target)
    with tempfile.TemporaryDirectory(prefix=".saring-backup-", dir=folder) as held:
        with _troubles(target):
            if target.endswith("/") or system.isdir(where):
                target, where = posixpath.join(target, name), posixpath.join(where, name)
            if system.exists(where):
                raise UsageError(f"{target} exists: name another file, or a folder")
        path = Path(held) / name
        yield path, target
        with _troubles(target):
            system.makedirs(posixpath.dirname(where), exist_ok=True)
            system.put_file(str(path), where + ".part")
            system.mv(where + ".part", where)


@contextmanager
def fetched(source: str) -> Iterator[Path]:
    """An archive as a file of this machine: it is read twice, once to see that it is whole.

    Raises:
        BackupError: it cannot be fetched.
    """
    if "://" not in source:
        yield Path(source).expanduser().absolute()
        return
    system, where = _open(source)
    with tempfile.TemporaryDirectory(prefix="saring-backup-") as held:
        path = Path(held) / posixpath.basename(where)
        with _troubles(source):
            system.get_file(where, str(path))
        yield path


def _open(address: str) -> tuple[Any, str]:
    try:
        system, where = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise BackupError(f"{address} cannot be used ({error})") from error
    return system, str(where)


@contextmanager
def _troubles(address: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BackupError(f"{address} is not there") from error
    except PermissionError as error:
        raise BackupError(f"{address}: permission denied: see the credentials that its protocol takes") from error
