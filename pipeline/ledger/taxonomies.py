"""The versions of the taxonomy that judgements were made under, with their content.

A version is kept from its first use on. Of versions that were used before the store kept them, only the hash is known.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import TaxonomyError
from pipeline.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version of the taxonomy in the store."""

    version: str
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class VersionUse:
    """Judgements that raters of one kind and name made under one version."""

    #: as `pipeline.judgement.RaterKind` has it
    kind: str
    name: str
    #: rows of the ledger, corrections among them
    judgements: int
    first: datetime
    last: datetime


def keep_taxonomy(session: Session, taxonomy: Taxonomy) -> bool:
    """Keep the content of a version, if it is not kept yet; True where this call did. The caller commits."""
    t = store.TaxonomyVersion
    # most calls find it there, and need not write
    if session.scalar(select(t.version).where(t.version == taxonomy.version)) is not None:
        return False
    content = taxonomy.model_dump(mode="json")
    made = session.execute(
        insert(t).values(version=taxonomy.version, content=content).on_conflict_do_nothing().returning(t.version)
    )
    return made.scalar_one_or_none() is not None


def is_due(session: Session, version: str) -> bool:
    """True where a version is not kept, although the store has judgements: an older Saring made them."""
    t, j = store.TaxonomyVersion, store.Judgement
    kept = select(t.version).where(t.version == version).exists()
    return bool(session.scalar(select(~kept & select(j.id).exists())))


def kept_versions(session: Session) -> list[KeptVersion]:
    """The versions that are kept, newest first."""
    t = store.TaxonomyVersion
    rows = session.execute(select(t.version, t.first_seen).order_by(t.first_seen.desc(), t.version))
    return [KeptVersion(version, first_seen) for version, first_seen in rows]


def kept_taxonomy(session: Session, version: str) -> Taxonomy | None:
    """The content of a version; None: it is not kept.

    Raises:
        TaxonomyError: this code can't read what is kept.
    """
    content = session.scalar(select(store.TaxonomyVersion.content).where(store.TaxonomyVersion.version == version))
    if content is None:
        return None
    try:
        return Taxonomy.model_validate(content)
    except ValidationError as error:
        raise TaxonomyError(
            f"version {version} of the taxonomy was kept by another version of Saring, and cannot be read here "
            f"({error.error_count()} mistakes): use the version that made it"
        ) from error


def uses_by_version(session: Session) -> dict[str, list[VersionUse]]:
    """Judgements under each version, by kind and name of their raters. It reads the whole ledger."""
    j, r = store.Judgement, store.Rater
    # by rater first: joining a million rows is slower than joining the raters
    counted = (
        select(
            j.taxonomy_version,
            j.rater_id,
            func.count().label("judgements"),
            func.min(j.created_at).label("first"),
            func.max(j.created_at).label("last"),
        )
        .group_by(j.taxonomy_version, j.rater_id)
        .subquery()
    )
    c = counted.c
    rows = session.execute(
        select(c.taxonomy_version, r.kind, r.name, func.sum(c.judgements), func.min(c.first), func.max(c.last))
        .join(r, r.id == c.rater_id)
        .group_by(c.taxonomy_version, r.kind, r.name)
        .order_by(c.taxonomy_version, func.sum(c.judgements).desc(), r.kind, r.name)
    )
    uses: defaultdict[str, list[VersionUse]] = defaultdict(list)
    for version, kind, name, judgements, first, last in rows:
        uses[version].append(VersionUse(str(kind), name, int(judgements), first, last))
    return dict(uses)
