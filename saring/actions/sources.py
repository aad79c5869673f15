"""Remove a source."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.sharing import remove_source as removal
from pipeline.sharing.remove_source import SourceRemoval
from saring.context import Context


def remove_source(home: Context, name: str) -> SourceRemoval:
    """Withdraw the judgements that were imported with a source, and take texts that no other source has out of scope.

    Args:
        home: the home with the store.
        name: name of the source.

    Raises:
        UsageError: there is no such source.
        RunConflict: an import or ingest of the source is running.
    """
    return removal.remove_source(home.engine, name, taxonomy_version=home.taxonomy.version)


def source_names(home: Context) -> Sequence[str]:
    """The names of all sources, in order."""
    from sqlalchemy import select

    from pipeline import store
    from pipeline.store.session import open_session

    with open_session(home.engine) as session:
        return session.scalars(select(store.Source.name).order_by(store.Source.name)).all()
