"""Sources of the store with the terms of their licences, and corrections of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.sharing.licences import Sharing, Terms, terms_of


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source with the terms of its licence."""

    id: int
    name: str
    #: as it was written
    licence: str | None
    url: str | None
    #: the owner of the rights allowed sharing beyond the licence
    permitted: bool
    terms: Terms
    #: number of rows from it; None where they were not counted
    rows: int | None = None

    def shared(self, *, non_commercial: bool) -> bool:
        """True where its texts may be shared; with `non_commercial`, also where commercial use is forbidden."""
        return self.terms.sharing is Sharing.OPEN or (non_commercial and self.terms.sharing is Sharing.NON_COMMERCIAL)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "licence": self.licence,
            "url": self.url,
            "permitted": self.permitted,
            "sharing": str(self.terms.sharing),
            "why": self.terms.why if self.terms.sharing is not Sharing.OPEN else "",
            "rows": self.rows,
        }


def list_sources(session: Session, *, count: bool = False) -> list[KnownSource]:
    """All sources, by name; with `count`, also the number of their rows."""
    s, seen = store.Source, store.TextSource
    rows: dict[int, int] = {}
    if count:
        counted = session.execute(select(seen.source_id, func.count()).group_by(seen.source_id))
        rows = {row[0]: row[1] for row in counted}
    sources = session.execute(select(s.id, s.name, s.licence, s.url, s.redistributable).order_by(s.name))
    return [
        KnownSource(
            source_id,
            name,
            licence,
            url,
            permitted,
            terms_of(licence, permitted=permitted),
            rows.get(source_id, 0) if count else None,
        )
        for source_id, name, licence, url, permitted in sources
    ]


def set_source(
    session: Session,
    name: str,
    *,
    licence: str | None = None,
    url: str | None = None,
    permitted: bool | None = None,
) -> KnownSource:
    """Correct the facts about a source; None leaves a value as it is, an empty text removes it.

    Raises:
        UsageError: there is no such source, or nothing to change.
    """
    given = {"licence": licence, "url": url, "redistributable": permitted}
    values = {
        key: (value or None) if isinstance(value, str) else value for key, value in given.items() if value is not None
    }
    if not values:
        raise UsageError("nothing to change: give --licence, --url, --permitted or --not-permitted")
    s = store.Source
    changed = session.execute(update(s).where(s.name == name).values(**values).returning(s.id)).scalar_one_or_none()
    if changed is None:
        names = ", ".join(session.scalars(select(s.name).order_by(s.name))) or "none yet"
        raise UsageError(f"no source {name!r}: known sources are {names}")
    return next(source for source in list_sources(session, count=True) if source.id == changed)
