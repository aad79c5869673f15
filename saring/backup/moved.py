"""A home that was moved: the store's records of files follow it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from pipeline.models.artefact import MANIFEST
from pipeline.store import transfer
from saring.backup.belongings import Registered


def left_behind(engine: Engine, home: Path) -> Registered:
    """The records of models and snapshots whose files are not where they say, and are in the home; the places there.

    Args:
        engine: the store, with the schema of this version.
        home: the folder of the home as it is now.
    """
    with engine.connect() as connection:
        known = Registered(*transfer.paths(transfer.driver(connection)))
    now = known.moved(home)
    models = {
        version: now.models[version]
        for version, path in known.models.items()
        if not (Path(path) / MANIFEST).is_file() and (Path(now.models[version]) / MANIFEST).is_file()
    }
    snapshots = {
        number: now.snapshots[number]
        for number, path in known.snapshots.items()
        if not Path(path).is_file() and Path(now.snapshots[number]).is_file()
    }
    return Registered(models, snapshots)


def follow_home(engine: Engine, home: Path) -> int:
    """Store the places that the files have in a home that was moved; the number of records that changed."""
    behind = left_behind(engine, home)
    if behind.models or behind.snapshots:
        with engine.begin() as connection:
            transfer.set_paths(transfer.driver(connection), behind.models, behind.snapshots)
    return len(behind.models) + len(behind.snapshots)
