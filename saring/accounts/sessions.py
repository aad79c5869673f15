"""Sessions of browsers: opaque tokens, whose hashes are stored, so that they survive restarts and can be ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from pipeline.store.tables.accounts import Account, WebSession
from saring.accounts.credentials import new_token, token_hash
from saring.accounts.people import Person

#: a session ends when it was not used for so long, and at the latest so long after it began
IDLE, LONGEST = timedelta(days=7), timedelta(days=30)
#: its use is noted this often
_NOTED = timedelta(minutes=1)
_BROWSERS = ("Firefox", "Edg", "OPR", "SamsungBrowser", "Chrome", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "Linux")


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session, as its person sees it."""

    #: its place in the list of the person's sessions: the beginning of its hash
    key: str
    device: str
    created_at: datetime
    seen_at: datetime


def begin_session(session: Session, account_id: int, user_agent: str) -> str:
    """Begin a session; its token, which is not stored."""
    token = new_token()
    row = WebSession(
        token_hash=token_hash(token),
        account_id=account_id,
        device=device(user_agent),
        expires_at=session.execute(select(func.now())).scalar_one() + LONGEST,
    )
    session.add(row)
    session.execute(delete(WebSession).where((WebSession.expires_at < func.now()) | _is_idle()))
    session.flush()
    return token


def find_session(session: Session, token: str) -> Person | None:
    """The account that a token belongs to; None if the session ended or the account may not sign in."""
    w = WebSession
    hashed = token_hash(token)
    query = select(Account, w.seen_at < func.now() - _NOTED).join(w, w.account_id == Account.id)
    row = session.execute(
        query.where(w.token_hash == hashed, w.expires_at > func.now(), ~_is_idle(), Account.disabled_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    account, stale = row
    if stale:
        session.execute(update(w).where(w.token_hash == hashed).values(seen_at=func.now()))
    return Person.of(account)


def end_session(session: Session, token: str) -> None:
    """End the session of a token."""
    session.execute(delete(WebSession).where(WebSession.token_hash == token_hash(token)))


def sessions_of(session: Session, account_id: int) -> Sequence[OpenSession]:
    """The sessions of an account, the one used last first."""
    w = WebSession
    rows = session.scalars(select(w).where(w.account_id == account_id, ~_is_idle()).order_by(w.seen_at.desc()))
    return [OpenSession(row.token_hash.hex()[:16], row.device, row.created_at, row.seen_at) for row in rows]


def end_session_by_key(session: Session, account_id: int, key: str) -> bool:
    """End one of an account's sessions by its key; False if it has none with that key."""
    for row in session.scalars(select(WebSession).where(WebSession.account_id == account_id)):
        if row.token_hash.hex()[:16] == key:
            session.delete(row)
            return True
    return False


def end_other_sessions(session: Session, account_id: int, token: str) -> int:
    """End all sessions of an account but one; how many there were.

    Args:
        session: an open transaction.
        account_id: the account.
        token: of the session that stays.
    """
    w = WebSession
    ended = session.execute(
        delete(w).where(w.account_id == account_id, w.token_hash != token_hash(token)).returning(w.token_hash)
    )
    return len(ended.all())


def session_key(token: str) -> str:
    """The key of a session in `sessions_of`."""
    return token_hash(token).hex()[:16]


def last_seen(session: Session) -> dict[int, tuple[int, datetime]]:
    """The number of open sessions of each account that has any, and the last use of one."""
    w = WebSession
    rows = session.execute(
        select(w.account_id, func.count(), func.max(w.seen_at)).where(~_is_idle()).group_by(w.account_id)
    )
    return {account: (count, seen) for account, count, seen in rows}


def device(user_agent: str) -> str:
    """Browser and system that a user agent names, as people know them, for example `Firefox, Android`."""
    browser = next((name for name in _BROWSERS if f"{name}/" in user_agent), "")
    system = next((name for name in _SYSTEMS if name in user_agent), "")
    words = [{"Edg": "Edge", "OPR": "Opera", "SamsungBrowser": "Samsung Internet"}.get(browser, browser), system]
    return ", ".join(word for word in words if word) or re.sub(r"[^\x20-\x7e]", "", user_agent)[:40]


def _is_idle() -> ColumnElement[bool]:
    return WebSession.seen_at < func.now() - IDLE
