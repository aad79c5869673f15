"""The manifest of an archive: its last piece but one, since only then all is known."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

MANIFEST, SEAL = "manifest.json", "manifest.sha256"
#: bytes of a manifest, at most: it is read into memory
LARGEST_MANIFEST = 64 * 1024 * 1024
#: of the archive's own form
FORMAT = 1


class Table(BaseModel):
    """One table of the store."""

    model_config = ConfigDict(frozen=True)

    name: str
    columns: tuple[str, ...]
    rows: int
    #: SHA-256 of its rows in order of their key (see `pipeline.store.transfer.read`)
    sha256: str
    #: pieces that it is cut into
    pieces: int
    #: last number that each counting column gave out
    counters: dict[str, int]


class File(BaseModel):
    """One file."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """Everything that is in an archive."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    saring: str
    created_at: datetime
    #: revision of the store's schema
    schema_revision: str
    taxonomy_version: str
    #: whether the embedded Label Studio is in it; a server of one's own is backed up where it runs
    label_studio: bool
    #: settings that were in force and are neither the default, nor secret, nor the address of a server
    settings: dict[str, Any]
    tables: tuple[Table, ...]
    files: tuple[File, ...]
    #: version to folder of registered models whose files were not there, left out because it was asked for
    missing: dict[str, str]


def piece_name(table: str, number: int) -> str:
    """The name of a table's piece in the archive."""
    return f"database/{table}/{number:06d}"
