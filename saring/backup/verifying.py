"""Verification of an archive: every piece against the manifest, and the manifest against its seal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import ValidationError

from pipeline.errors import BackupError
from pipeline.progress import Progress, silent
from saring.backup.addresses import fetched
from saring.backup.archive import pieces
from saring.backup.manifest import FORMAT, LARGEST_MANIFEST, MANIFEST, SEAL, Manifest, piece_name


@dataclass(frozen=True, slots=True)
class Verified:
    """An archive that is whole."""

    archive: str
    #: SHA-256 of its manifest, which names the backup
    seal: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class _Met:
    """A piece as it was found."""

    bytes: int
    sha256: str


def verify(source: str, *, progress: Progress = silent) -> Verified:
    """Read an archive to its end and see whether it is what was backed up. Writes nothing.

    Raises:
        BackupError: it isn't; the message names what is wrong in it.
    """
    with fetched(source) as path:
        manifest, seal = inspect(path, progress)
    return Verified(source, seal, manifest)


def inspect(path: Path, progress: Progress) -> tuple[Manifest, str]:
    """The manifest of a whole archive, and its seal.

    Raises:
        BackupError: it is damaged, or of a form that this version does not know.
    """
    met: dict[str, _Met] = {}
    tables: dict[str, tuple[hashlib._Hash, int]] = {}
    ends: dict[str, bytes] = {}
    for number, piece in enumerate(pieces(path), start=1):
        if piece.name in (MANIFEST, SEAL):
            if piece.size > LARGEST_MANIFEST:
                raise BackupError(f"{path}: its {piece.name} has {piece.size:,} bytes, which no backup's has: refused")
            ends[piece.name] = b"".join(piece.blocks())
        elif piece.name.startswith("database/"):
            digest, rows = tables.get(table := piece.name.split("/")[1], (hashlib.sha256(), 0))
            for block in piece.blocks():
                digest.update(block)
                rows += block.count(b"\n")
            tables[table] = digest, rows
        met[piece.name] = _Met(piece.size, piece.sha256())
        progress(number, None, "pieces checked")
    if set(ends) != {MANIFEST, SEAL}:
        raise BackupError(f"{path}: cut short ({MANIFEST} or {SEAL} is missing): take another copy of it")
    seal = hashlib.sha256(ends[MANIFEST]).hexdigest()
    if ends[SEAL].decode(errors="replace") != seal:
        raise BackupError(f"{path}: {MANIFEST} was altered (its hash differs): take another copy of it")
    manifest = _read(path, ends[MANIFEST])
    _compare(path, manifest, met, {name: (digest.hexdigest(), rows) for name, (digest, rows) in tables.items()})
    return manifest, seal


def _read(path: Path, written: bytes) -> Manifest:
    try:
        form = orjson.loads(written).get("format")
        if form != FORMAT:
            raise BackupError(f"{path}: a backup of form {form}, and this version knows {FORMAT}: install a newer one")
        return Manifest.model_validate_json(written)
    except (orjson.JSONDecodeError, AttributeError, ValidationError) as error:
        raise BackupError(f"{path}: {MANIFEST} is not that of a backup: take another copy of it") from error


def _compare(path: Path, manifest: Manifest, met: Mapping[str, _Met], tables: Mapping[str, tuple[str, int]]) -> None:
    nothing = hashlib.sha256().hexdigest(), 0
    for table in manifest.tables:
        if tables.get(table.name, nothing) != (table.sha256, table.rows):
            raise BackupError(f"{path}: table {table.name} was altered (its hash differs): take another copy of it")
    for file in manifest.files:
        if met.get(file.name) != _Met(file.bytes, file.sha256):
            raise BackupError(f"{path}: {file.name} was altered or is missing: take another copy of it")
    if any(table.pieces > len(met) for table in manifest.tables):
        raise BackupError(f"{path}: pieces of a table are missing: take another copy of it")
    expected = {piece_name(table.name, number) for table in manifest.tables for number in range(table.pieces)}
    expected |= {file.name for file in manifest.files} | {MANIFEST, SEAL}
    if strange := sorted(met.keys() ^ expected):
        raise BackupError(f"{path}: {strange[0]} is not as {MANIFEST} has it: take another copy of it")
