"""A home to an archive, while everything runs.

The store is read in one transaction, which sees it as it was when the transaction began. Files come after it: a model,
a snapshot or an upload is written before the row that names it, and none changes later. Label Studio comes after it as
well: what it knows more than the store is pulled again, while what it knew less would look as if people had taken it
back.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine

from pipeline.errors import BackupError
from pipeline.progress import Progress, silent
from pipeline.runs.record import code_version
from pipeline.settings import Settings
from pipeline.store import transfer
from pipeline.store.migrate import current_and_head, require_head
from pipeline.taxonomy import load_taxonomy
from saring.backup.addresses import sending
from saring.backup.archive import Writer, writing
from saring.backup.belongings import (
    LABEL_STUDIO_DATABASE,
    TAXONOMY,
    Belonging,
    Registered,
    belongings,
    copy_sqlite,
    has_label_studio,
    label_studio_folder,
)
from saring.backup.manifest import MANIFEST, SEAL, File, Manifest, Table, piece_name
from saring.services.backup_note import note_backup
from saring.services.label_studio_install import DATABASE

#: they speak of this machine, or of servers that a restored home must not take for its own
_LEFT_OUT = {"home", "taxonomy", "label_studio_env"}


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup that was made."""

    #: where it lies
    archive: str
    bytes: int
    #: table to rows
    tables: dict[str, int]
    files: int
    #: whether the embedded Label Studio is in it
    label_studio: bool
    #: what rows speak of and wasn't there, left out because it was asked for
    missing: dict[str, str] = field(default_factory=dict)


def back_up(
    engine: Engine,
    settings: Settings,
    target: str,
    *,
    allow_missing: bool = False,
    progress: Progress = silent,
) -> Saved:
    """Write everything that the home would miss into one archive, readable by its owner only.

    Args:
        engine: the store.
        settings: the home, and the taxonomy in force.
        target: a file, a folder to make one in, or the address of either as fsspec takes it.
        allow_missing: go on without files that rows speak of and that aren't there.
        progress: told of rows and files.

    Raises:
        UsageError: the target exists.
        BackupError: a file that a row speaks of is missing, or the target can't be used.
        StoreNotReady: the schema is not this version's.
        StoreUnavailable: the database cannot be reached.
    """
    require_head(engine)
    name = f"saring-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.zst"
    with sending(target, name, settings.home) as (path, where):
        with writing(path) as archive, tempfile.TemporaryDirectory(prefix=".saring-", dir=path.parent) as aside:
            manifest = _fill(archive, engine, settings, Path(aside), allow_missing, progress)
        size = path.stat().st_size
    note_backup(settings.home, where, datetime.now(UTC))
    return Saved(
        archive=where,
        bytes=size,
        tables={table.name: table.rows for table in manifest.tables},
        files=len(manifest.files),
        label_studio=manifest.label_studio,
        missing=manifest.missing,
    )


def _fill(
    archive: Writer, engine: Engine, settings: Settings, aside: Path, allow_missing: bool, progress: Progress
) -> Manifest:
    revision, _ = current_and_head(engine)
    assert revision is not None, "require_head() was called"
    with transfer.frozen(engine) as connection:
        begun = datetime.now(UTC)
        registered = Registered(*transfer.paths(connection))
        missing = registered.missing()
        if missing and not allow_missing:
            what, path = next(iter(missing.items()))
            raise BackupError(
                f"{what} is not in {path}, where the store has it ({len(missing)} missing in all): "
                "put it back, or leave out what is missing with --allow-missing"
            )
        total = sum(transfer.count(connection, table) for table in transfer.table_names())
        tables: list[Table] = []
        count = 0
        for name in transfer.table_names():
            tables.append(_save_table(archive, connection, name, count, total, progress))
            count += tables[-1].rows
    kept = _save_files(archive, settings, registered, aside, allow_missing, progress)
    kept.append(_save_bytes(archive, TAXONOMY, _taxonomy(settings)))
    manifest = Manifest(
        saring=code_version(),
        created_at=begun,
        schema_revision=revision,
        taxonomy_version=load_taxonomy(settings.taxonomy_file).version,
        label_studio=any(file.name == LABEL_STUDIO_DATABASE for file in kept),
        settings=_told(settings),
        tables=tuple(tables),
        files=tuple(kept),
        missing=missing,
    )
    written = manifest.model_dump_json(indent=2).encode()
    archive.add(MANIFEST, written)
    archive.add(SEAL, hashlib.sha256(written).hexdigest().encode())
    return manifest


def _save_table(
    archive: Writer, connection: transfer.Psycopg, name: str, before: int, total: int, progress: Progress
) -> Table:
    columns = transfer.columns(connection, name)
    digest, rows, pieces = hashlib.sha256(), 0, 0
    for piece in transfer.read(connection, name, columns):
        archive.add(piece_name(name, pieces), piece)
        digest.update(piece)
        rows += piece.count(b"\n")
        pieces += 1
        progress(before + rows, total, "rows saved")
    counters = transfer.counters(connection, name)
    return Table(
        name=name, columns=tuple(columns), rows=rows, sha256=digest.hexdigest(), pieces=pieces, counters=counters
    )


def _save_files(
    archive: Writer, settings: Settings, registered: Registered, aside: Path, allow_missing: bool, progress: Progress
) -> list[File]:
    wanted = list(belongings(settings, registered))
    if has_label_studio(settings):
        copy = aside / DATABASE
        copy_sqlite(label_studio_folder(settings) / DATABASE, copy)
        wanted.append(Belonging(LABEL_STUDIO_DATABASE, copy, needed=True))
    kept = []
    for count, belonging in enumerate(wanted, start=1):
        saved = _save_file(archive, belonging, allow_missing)
        if saved is not None:
            kept.append(saved)
        progress(count, len(wanted), "files saved")
    return kept


def _save_file(archive: Writer, belonging: Belonging, allow_missing: bool) -> File | None:
    """None: it is gone, and may be."""
    try:
        file = belonging.path.open("rb")
    except FileNotFoundError as error:
        if belonging.needed and not allow_missing:
            raise BackupError(
                f"{belonging.path} was removed meanwhile, and the store speaks of it: run it again"
            ) from error
        return None
    except OSError as error:
        raise BackupError(f"{belonging.path} cannot be read ({error.strerror}): run this as its owner") from error
    with file:
        # of what was opened: another file may have taken its name since
        status = os.fstat(file.fileno())
        return File(
            name=belonging.name,
            bytes=status.st_size,
            sha256=archive.copy(belonging.name, file, status.st_size, status.st_mode),
        )


def _save_bytes(archive: Writer, name: str, data: bytes) -> File:
    archive.add(name, data)
    return File(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _taxonomy(settings: Settings) -> bytes:
    if settings.taxonomy_file is not None:
        return settings.taxonomy_file.read_bytes()
    return files("pipeline").joinpath("taxonomy.yaml").read_bytes()


def _told(settings: Settings) -> dict[str, Any]:
    """Settings that somebody chose and that may be told."""
    names = {
        name
        for name in settings.model_fields_set - _LEFT_OUT
        if not name.endswith("_url") and not isinstance(getattr(settings, name), SecretStr)
    }
    return settings.model_dump(mode="json", include=names)
