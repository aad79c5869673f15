"""Saved searches: searches that an account keeps under names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.plural import counted
from pipeline.search.query import Query

#: longest name, in characters, and searches that one account may keep
_LONGEST, _MOST = 80, 200


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved search."""

    id: int
    name: str
    query: Query
    #: True: everybody sees it
    shared: bool
    created_at: datetime


def save(session: Session, name: str, query: Query, *, account: int | None = None) -> int:
    """Keep a search under a name, in place of the one of that name; its id.

    Args:
        session: an open transaction.
        name: what it is called.
        query: the search.
        account: whose it is; None: everybody's.

    Raises:
        UsageError: the name is empty or too long, or there are too many.
    """
    name = " ".join(name.replace("\0", " ").split())
    if not name or len(name) > _LONGEST:
        raise UsageError(f"a saved search needs a name of 1 to {_LONGEST} characters")
    s = store.SavedSearch
    owned = s.account_id.is_not_distinct_from(account)
    others = session.execute(select(func.count()).select_from(s).where(owned, s.name != name)).scalar_one()
    if others >= _MOST:
        raise UsageError(f"there are {counted(others, 'saved search', 'saved searches')}: remove one first")
    new = insert(s).values(account_id=account, name=name, query=query.values())
    return session.execute(
        new.on_conflict_do_update(
            constraint="uq_saved_search_account_id_name",
            set_={"query": new.excluded.query, "created_at": func.now()},
        ).returning(s.id)
    ).scalar_one()


def saved(session: Session, *, account: int | None = None) -> Sequence[Saved]:
    """The searches that an account sees, its own and everybody's, in order of name."""
    s = store.SavedSearch
    rows = session.scalars(select(s).where(or_(s.account_id.is_(None), s.account_id == account)).order_by(s.name, s.id))
    return [Saved(row.id, row.name, Query.of(row.query), row.account_id is None, row.created_at) for row in rows]


def forget(session: Session, saved_id: int, *, account: int | None = None) -> bool:
    """Remove a saved search of an account; without an account, one of everybody's. False if there is none."""
    s = store.SavedSearch
    owned = s.account_id.is_not_distinct_from(account)
    return session.execute(delete(s).where(s.id == saved_id, owned).returning(s.id)).first() is not None
