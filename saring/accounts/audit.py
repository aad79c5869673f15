"""The audit log: every act, who did it and when, in the database, which refuses to change or remove an entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.store.tables.accounts import AuditEntry

#: characters of a value that are kept
_LONGEST = 300
#: who acts where there is no account
COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the audit log."""

    id: int
    at: datetime
    account_id: int | None
    who: str
    act: str
    details: Mapping[str, Any]
    #: what came of it, where that was more or less than asked
    outcomes: Sequence[Mapping[str, Any]] = ()


def write_entry(
    session: Session,
    act: str,
    details: Mapping[str, Any],
    *,
    account_id: int | None = None,
    who: str = COMMAND_LINE,
    about: int | None = None,
) -> int:
    """Add an entry to the log; its id.

    Args:
        session: an open transaction.
        act: name of the act, for example `queue.drop`.
        details: values of the act. The caller leaves out secrets and texts. Long values are cut.
        account_id: who did it; None: the command line.
        who: the name at this time.
        about: the entry that this one completes.
    """
    row = AuditEntry(act=act, details=shortened(details), account_id=account_id, who=who, about=about)
    session.add(row)
    session.flush()
    return row.id


def shortened(details: Mapping[str, Any]) -> dict[str, Any]:
    """Details as they are stored: no long values, and no characters that PostgreSQL refuses."""
    return {_clean(str(name)): _short(value) for name, value in details.items()}


def read_entries(
    session: Session,
    *,
    before: int | None = None,
    limit: int = 100,
    act: str | None = None,
    account_id: int | None = None,
    command_line: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    """Entries of the log, the newest first.

    Args:
        session: an open transaction.
        before: only entries with a lower id: for the next page.
        limit: most entries.
        act: only acts with this name, or whose name begins with it and a dot.
        account_id: only acts of this account.
        command_line: only acts without an account.
        since: only acts at this time or later.
        until: only acts before this time.
    """
    a = AuditEntry
    query = select(a).where(a.about.is_(None)).order_by(a.id.desc()).limit(limit)
    if before is not None:
        query = query.where(a.id < before)
    if act is not None:
        query = query.where((a.act == act) | a.act.startswith(f"{act}.", autoescape=True))
    if account_id is not None:
        query = query.where(a.account_id == account_id)
    if command_line:
        query = query.where(a.account_id.is_(None))
    if since is not None:
        query = query.where(a.at >= since)
    if until is not None:
        query = query.where(a.at < until)
    rows = session.scalars(query).all()
    outcomes: dict[int, list[Mapping[str, Any]]] = {}
    for about, details in session.execute(
        select(a.about, a.details).where(a.about == func.any([row.id for row in rows])).order_by(a.id)
    ):
        if about is not None:
            outcomes.setdefault(about, []).append(details)
    return [
        Entry(row.id, row.at, row.account_id, row.who, row.act, row.details, outcomes.get(row.id, ())) for row in rows
    ]


def every_entry(session: Session, *, chunk: int = 1000, **filters: Any) -> Iterator[Entry]:
    """All entries of the log, the newest first, read in chunks.

    Args:
        session: an open transaction.
        chunk: entries that are read at once.
        filters: as `read_entries` takes them.
    """
    before = None
    while entries := read_entries(session, before=before, limit=chunk, **filters):
        yield from entries
        before = entries[-1].id


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return shortened(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_short(item) for item in list(value)[:20]]
    text = _clean(str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _clean(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()
