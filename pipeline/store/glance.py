"""A look at the store over a bare connection, where SQLAlchemy would take longer to import than the look takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from pipeline.errors import StoreUnavailable, first_line

MIGRATIONS = Path(__file__).parent / "migrations"


def head() -> str:
    """The newest revision of the schema that this code knows."""
    # The migrations stand in one line, and the name of each begins with its revision.
    newest = max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    return newest.partition("_")[0]


def champion_folder(connection: psycopg.Connection[Any], purpose: str) -> Path | None:
    """The folder of the champion of a purpose; None if there is none, or the schema is not this code's.

    Raises:
        StoreUnavailable: the database went away, or refuses.
    """
    try:
        [(migrated,)] = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchall()
        if not migrated or connection.execute("SELECT version_num FROM alembic_version").fetchall() != [(head(),)]:
            return None
        row = connection.execute(
            "SELECT path FROM model WHERE purpose = %s AND state = 'champion'", (purpose,)
        ).fetchone()
    except psycopg.Error as error:
        raise StoreUnavailable(
            f"the database refused or went away: {first_line(error)}; see `saring doctor`"
        ) from error
    return None if row is None else Path(row[0])
