"""A note in the home of its last backup, so that `saring status` can tell how old it is."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.atomic import write_file

NAME = "last-backup.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LastBackup:
    """The time and place of a backup."""

    at: datetime
    archive: str


def note_backup(home: Path, archive: str, at: datetime) -> None:
    """Note a backup. A home that cannot be written has its backup all the same, and no note."""
    content = json.dumps({"at": at.isoformat(timespec="seconds"), "archive": archive})
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(home / NAME, content + "\n", mode=0o600)
    except OSError as error:
        log.warning("the backup is not noted in %s: %s", home, error.strerror)


def last_backup(home: Path) -> LastBackup | None:
    """The last backup that was made from this home; None: none, or the note cannot be read."""
    try:
        content = json.loads((home / NAME).read_text(encoding="utf-8"))
        return LastBackup(datetime.fromisoformat(content["at"]), str(content["archive"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
