"""The sources of the store, what their licences allow, and correcting what is known of one."""

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
    """A source with what its licence comes to."""

    id: int
    name: str
    #: as it was written
    licence: str | None
    url: str | None
    #: whoever holds the rights allowed sharing beyond the licence
    permitted: bool
    terms: Terms
    #: sightings of texts in it; None where nobody asked
    rows: int | None = None

    def shared(self, *, non_commercial: bool) -> bool:
        """Whether its texts may leave; `non_commercial`: those that forbid commercial use too."""
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
    """Every source, by name; `count`: with how many rows came from it."""
    s, seen = store.Source, store.TextSource
    rows: dict[int, int] = {}
    if count:
        counted = session.execute(select(seen.source_id, func.count()).group_by(seen.source_id))
        rows = {row[0]: row[1] for row in counted}
    found = session.execute(select(s.id, s.name, s.licence, s.url, s.redistributable).order_by(s.name))
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
        for source_id, name, licence, url, permitted in found
    ]


def set_source(
    session: Session,
    name: str,
    *,
    licence: str | None = None,
    url: str | None = None,
    permitted: bool | None = None,
) -> KnownSource:
    """Correct what is known of a source; what is None stays as it is, an empty text takes it away.

    Raises:
        UsageError: there is no such source, or nothing to change.
    """
    said = {"licence": licence, "url": url, "redistributable": permitted}
    values = {
        key: (value or None) if isinstance(value, str) else value for key, value in said.items() if value is not None
    }
    if not values:
        raise UsageError("nothing to change: give --licence, --url, --permitted or --not-permitted")
    s = store.Source
    changed = session.execute(update(s).where(s.name == name).values(**values).returning(s.id)).scalar_one_or_none()
    if changed is None:
        names = ", ".join(session.scalars(select(s.name).order_by(s.name))) or "none yet"
        raise UsageError(f"no source {name!r}: the sources are {names}")
    return next(one for one in list_sources(session, count=True) if one.id == changed)
