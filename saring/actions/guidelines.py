"""The taxonomy as annotators see it, in all its versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.errors import TaxonomyError
from pipeline.ledger.taxonomies import keep_taxonomy, kept_taxonomy, kept_versions, uses_by_version
from pipeline.measure.plain import plain
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy
from pipeline.taxonomy.changes import TaxonomyChange, compare_taxonomies
from saring.context import Context


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the taxonomy."""

    version: str
    #: True: it is in force
    current: bool
    #: when this store first used it; None: it was not used here yet
    first_seen: datetime | None


def taxonomy_versions(home: Context) -> list[Version]:
    """The versions whose content is kept, the one in force first, then the newest first."""
    now = home.taxonomy.version
    with open_session(home.engine) as session:
        kept = kept_versions(session)
    listed = [Version(row.version, row.version == now, row.first_seen) for row in kept]
    if all(version.version != now for version in listed):
        listed.append(Version(now, True, None))
    return sorted(listed, key=lambda version: not version.current)


def taxonomy_of(home: Context, version: str) -> Taxonomy:
    """The content of a version.

    Raises:
        TaxonomyError: it is not kept.
    """
    if version == home.taxonomy.version:
        return home.taxonomy
    with open_session(home.engine) as session:
        taxonomy = kept_taxonomy(session, version)
    if taxonomy is None:
        raise TaxonomyError(f"version {version} of the taxonomy is not kept here: see `saring taxonomy versions`")
    return taxonomy


def taxonomy_change(home: Context, before: str, after: str | None = None) -> TaxonomyChange:
    """The differences between two versions; `after` is the one in force if it is not given.

    Raises:
        TaxonomyError: a version is not kept.
    """
    return compare_taxonomies(taxonomy_of(home, before), taxonomy_of(home, after or home.taxonomy.version))


def judgements_by_version(home: Context) -> dict[str, Any]:
    """Judgements that were made under each version, by raters of one kind and name. It reads the whole ledger.

    Returns:
        `versions`: for each version, also those whose content is not kept, `version`, `judgements`, `first`, `last`
        (of the judgements), and `raters`, each with `kind`, `name`, `judgements`, `first`, `last`. Newest first.
    """
    with open_session(home.engine) as session:
        uses = uses_by_version(session)
    versions = [
        {
            "version": version,
            "judgements": sum(use.judgements for use in some),
            "first": min(use.first for use in some),
            "last": max(use.last for use in some),
            "raters": some,
        }
        for version, some in uses.items()
    ]
    versions.sort(key=_last, reverse=True)
    result: dict[str, Any] = plain({"versions": versions})
    return result


def keep_current(home: Context) -> None:
    """Keep the taxonomy in force, if it is not kept yet."""
    with home.begin() as session:
        keep_taxonomy(session, home.taxonomy)


def previous(versions: Sequence[Version], version: str) -> str | None:
    """The version before one, by its first use; None: there is none that is kept."""
    seen = sorted((row for row in versions if row.first_seen is not None), key=lambda row: str(row.first_seen))
    names = [row.version for row in seen]
    if version not in names:
        return names[-1] if names else None
    at = names.index(version)
    return names[at - 1] if at else None


def _last(entry: dict[str, Any]) -> str:
    return str(entry["last"])
