"""An archive to an empty home, all of it or nothing.

The archive is checked whole before anything is written. Rows go in in one transaction, which is committed when every
table has been read back and is what was backed up, and when all files are in their places. Killed before that, the
store stays empty, and the same command begins anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from sqlalchemy import Engine

from pipeline import store
from pipeline.errors import BackupError, TaxonomyError
from pipeline.progress import Progress, silent
from pipeline.settings import Settings
from pipeline.store import make_engine, transfer
from pipeline.store.migrate import current_and_head, upgrade
from pipeline.taxonomy import load_taxonomy
from pipeline.vectors.table import partition_of
from saring.backup.addresses import fetched
from saring.backup.archive import Piece, pieces
from saring.backup.belongings import LABEL_STUDIO_SECRETS, TAXONOMY, Registered, check_secrets, occupied, place
from saring.backup.manifest import MANIFEST, SEAL, Manifest, Table
from saring.backup.verifying import inspect
from saring.services import ensure_database

#: where files are unpacked before they are put in place
_ASIDE = ".restoring"
#: is there while files are put in place; names the backup that they are from
_MARKER = ".restoring-files"
_PARTITIONED = store.Vector.__tablename__
_ELSEWHERE = "set SARING_HOME to a new folder, and restore there"


@dataclass(frozen=True, slots=True)
class Restored:
    """A home that was filled from a backup."""

    archive: str
    home: Path
    created_at: datetime
    #: revision of the schema in the backup, and now
    schema_was: str
    schema: str
    #: table to rows; each was read back, and its hash is that of the backup
    tables: dict[str, int]
    files: int
    #: whether an embedded Label Studio came with it
    label_studio: bool
    #: what the backup itself had to leave out
    missing: dict[str, str]
    #: the backed up taxonomy, if another one is in force here
    set_taxonomy: Path | None
    #: settings that were in force there and are not here
    set_settings: dict[str, object]


def restore(settings: Settings, source: str, *, progress: Progress = silent) -> Restored:
    """Fill an empty home, and its empty store, from a backup; the embedded database is started if need be.

    Args:
        settings: the home in force.
        source: the archive: a file, or an address as fsspec takes it.
        progress: told of pieces and tables.

    Raises:
        BackupError: the archive is damaged or too new, or the home or its store is not empty.
        ServiceError: the embedded database cannot be started.
        StoreError: the database refuses the rows.
    """
    if not (settings.home / _MARKER).is_file():
        _require_empty(settings.home)
    with fetched(source) as path:
        manifest, seal = inspect(path, progress)
        known = transfer.known_revisions()
        if manifest.schema_revision not in known:
            raise BackupError(
                f"{path}: made by Saring {manifest.saring} with schema {manifest.schema_revision}, which this version "
                "does not know: install that version or a newer one"
            )
        for file in manifest.files:
            place(settings.home, file.name)
        resumed = _is_resumed(settings.home, seal)
        engine = make_engine(ensure_database(settings, progress))
        try:
            if not (resumed and transfer.origin(engine) == seal):
                _prepare_store(engine, manifest.schema_revision, known)
                _fill(engine, settings.home, path, manifest, seal, progress)
            progress(0, None, "bringing the schema up to date")
            upgrade(engine)
            transfer.refresh_statistics(engine)
            schema, _ = current_and_head(engine)
        finally:
            engine.dispose()
        _clear(settings.home)
    assert schema is not None, "upgrade() made one"
    return Restored(
        archive=source,
        home=settings.home,
        created_at=manifest.created_at,
        schema_was=manifest.schema_revision,
        schema=schema,
        tables={table.name: table.rows for table in manifest.tables},
        files=len(manifest.files),
        label_studio=manifest.label_studio,
        missing=manifest.missing,
        set_taxonomy=_taxonomy_to_set(settings, manifest),
        set_settings=_settings_to_set(settings, manifest),
    )


def _require_empty(home: Path) -> None:
    entry = occupied(home)
    if entry is not None:
        raise BackupError(f"{home} is not empty (there is {entry.relative_to(home)}): {_ELSEWHERE}")


def _is_resumed(home: Path, seal: str) -> bool:
    """True where a restore of the same backup was stopped while it put files in place.

    Raises:
        BackupError: one of another backup was.
    """
    marker = home / _MARKER
    if not marker.is_file():
        return False
    if marker.read_text() != seal:
        raise BackupError(f"restoring another backup was interrupted in {home}: repeat that, or {_ELSEWHERE}")
    return True


def _prepare_store(engine: Engine, revision: str, known: list[str]) -> None:
    """Give an empty store the schema of the backup."""
    if not transfer.empty(engine):
        raise BackupError(
            f"the database holds rows already: {_ELSEWHERE}, or set SARING_DATABASE_URL to an empty database"
        )
    current, _ = current_and_head(engine)
    if current is not None and (current not in known or known.index(current) > known.index(revision)):
        raise BackupError(
            f"the database is empty, but its schema ({current}) is newer than the backup's ({revision}): {_ELSEWHERE}, "
            "or drop and create the database"
        )
    upgrade(engine, revision=revision)


def _fill(engine: Engine, home: Path, path: Path, manifest: Manifest, seal: str, progress: Progress) -> None:
    aside = home / _ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700, parents=True)
    try:
        with transfer.filling(engine) as connection:
            _unpack(connection, path, aside, manifest, progress)
            _make_partitions(connection)
            for table in manifest.tables:
                transfer.set_counters(connection, table.name, table.counters)
            _read_back(connection, manifest, progress)
            moved = Registered(*transfer.paths(connection)).moved(home)
            transfer.set_paths(connection, moved.models, moved.snapshots)
            transfer.remember(connection, seal)
            # the last step before the commit: from here on only the same backup may go on
            (home / _MARKER).write_text(seal)
            _put_in_place(home, aside, manifest)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unpack(connection: transfer.Psycopg, path: Path, aside: Path, manifest: Manifest, progress: Progress) -> None:
    """Rows into their tables, files aside; both were checked, and are checked again as they are used."""
    tables = {table.name: table for table in manifest.tables}
    hashes = {file.name: file.sha256 for file in manifest.files}
    total = sum(table.pieces for table in manifest.tables) + len(hashes)
    count = 0

    def counted(pieces: Iterator[Piece]) -> Iterator[Piece]:
        nonlocal count
        for piece in pieces:
            yield piece
            count += 1
            progress(min(count, total), total, "pieces restored")

    for table, group in groupby(counted(pieces(path)), key=lambda piece: _table_of(piece.name)):
        if table is not None:
            _fill_table(connection, tables[table], group)
            continue
        for piece in group:
            if piece.name in (MANIFEST, SEAL):
                continue
            _unpack_file(piece, aside / piece.name)
            if piece.sha256() != hashes[piece.name]:
                raise BackupError(f"{path}: {piece.name} changed while it was restored: run it again")


def _table_of(piece: str) -> str | None:
    parts = piece.split("/")
    return parts[1] if parts[0] == "database" else None


def _fill_table(connection: transfer.Psycopg, table: Table, pieces: Iterator[Piece]) -> None:
    there = transfer.columns(connection, table.name)
    if sorted(there) != sorted(table.columns):
        raise BackupError(f"table {table.name} has other columns in the backup than its schema has: it was altered")
    if table.name == _PARTITIONED:
        # in order of name, encoders come before it
        _make_partitions(connection)
    transfer.write(connection, table.name, table.columns, (block for piece in pieces for block in piece.blocks()))


def _make_partitions(connection: transfer.Psycopg) -> None:
    for encoder in transfer.encoders(connection):
        transfer.make_partition(connection, partition_of(encoder), _PARTITIONED, encoder)


def _unpack_file(piece: Piece, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with to.open("xb") as file:
        to.chmod(0o600)
        for block in piece.blocks():
            file.write(block)
        # the database will be on the disk when it is committed, and so must be what it speaks of
        file.flush()
        os.fsync(file.fileno())
    if piece.name == f"label-studio/{LABEL_STUDIO_SECRETS}":
        check_secrets(to)


def _read_back(connection: transfer.Psycopg, manifest: Manifest, progress: Progress) -> None:
    for count, table in enumerate(manifest.tables, start=1):
        digest, rows = hashlib.sha256(), 0
        for piece in transfer.read(connection, table.name, table.columns):
            digest.update(piece)
            rows += piece.count(b"\n")
        if (rows, digest.hexdigest()) != (table.rows, table.sha256):
            raise BackupError(
                f"table {table.name} came out with {rows} rows, the backup has {table.rows}, or they differ: nothing "
                "was restored; see whether the database has triggers or rules of its own"
            )
        progress(count, len(manifest.tables), "tables read back")


def _put_in_place(home: Path, aside: Path, manifest: Manifest) -> None:
    for file in manifest.files:
        to = place(home, file.name)
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # a folder of the home may be a link to another disk
        shutil.move(aside / file.name, to)


def _clear(home: Path) -> None:
    shutil.rmtree(home / _ASIDE, ignore_errors=True)
    (home / _MARKER).unlink(missing_ok=True)


def _taxonomy_to_set(settings: Settings, manifest: Manifest) -> Path | None:
    try:
        in_force = load_taxonomy(settings.taxonomy_file).version
    except TaxonomyError:
        in_force = None
    return None if in_force == manifest.taxonomy_version else place(settings.home, TAXONOMY)


def _settings_to_set(settings: Settings, manifest: Manifest) -> dict[str, object]:
    here = settings.model_dump(mode="json", include=set(manifest.settings))
    return {name: value for name, value in manifest.settings.items() if here.get(name) != value}
