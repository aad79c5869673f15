"""Accounts: make them, find them, change what they may do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.store.locks import Lock, take
from pipeline.store.tables.accounts import Account, Role, WebSession
from saring.accounts.credentials import hash_password, is_password

_NAME = re.compile(r"[^\s\x00-\x1f\x7f-\x9f<>\"'&]{1,80}")
#: languages and themes that an account can choose
LANGUAGES, THEMES = ("en", "ms"), ("light", "dark")


@dataclass(frozen=True, slots=True)
class Person:
    """An account, as pages and acts see it."""

    id: int
    name: str
    role: Role | None
    email: str | None = None
    language: str | None = None
    theme: str | None = None
    #: user id in Label Studio
    rater: str | None = None
    has_password: bool = False
    disabled_at: datetime | None = None
    created_at: datetime | None = None

    @classmethod
    def of(cls, row: Account) -> Person:
        """The values of a row."""
        return cls(
            row.id,
            row.name,
            row.role,
            row.email,
            row.language,
            row.theme,
            row.label_studio_user,
            row.password_hash is not None,
            row.disabled_at,
            row.created_at,
        )


def add_account(session: Session, name: str, role: Role | None, *, email: str | None = None) -> Person:
    """Make an account without a password: a one-time link lets its person choose one.

    Raises:
        UsageError: the name is taken, or cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("a name has 1 to 80 characters, and no space, quote, & or angle bracket: choose another one")
    row = Account(name=name, role=role, email=email or None)
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError as error:
        raise UsageError(f"there is an account with the name {name} already: choose another name") from error
    session.refresh(row)
    return Person.of(row)


def all_accounts(session: Session) -> Sequence[Person]:
    """All accounts, in order of name."""
    return [Person.of(row) for row in session.scalars(select(Account).order_by(func.lower(Account.name)))]


def by_name(session: Session, name: str) -> Person:
    """The account with a name.

    Raises:
        UsageError: there is none.
    """
    row = session.scalar(select(Account).where(func.lower(Account.name) == func.lower(_storable(name))))
    if row is None:
        raise UsageError(f"there is no account with the name {name!r}: `saring users list` shows all")
    return Person.of(row)


def by_id(session: Session, account_id: int) -> Person:
    """The account with an id.

    Raises:
        UsageError: there is none.
    """
    return Person.of(_row(session, account_id))


def has_owner(session: Session) -> bool:
    """Return True if an owner can sign in by now."""
    a = Account
    query = select(a.id).where(a.role == Role.OWNER, a.disabled_at.is_(None))
    able = (a.password_hash.is_not(None)) | (a.oidc_subject.is_not(None))
    return session.scalar(query.where(able).limit(1)) is not None


def check_password(session: Session, name: str, password: str) -> Person | None:
    """The account that a name and a password belong to; None if they belong to none, or it is disabled."""
    row = session.scalar(select(Account).where(func.lower(Account.name) == func.lower(_storable(name))))
    right = is_password(password, row.password_hash if row is not None else None)
    return Person.of(row) if right and row is not None and row.disabled_at is None else None


def set_password(session: Session, account_id: int, password: str) -> None:
    """Give an account a new password, and end its sessions.

    Raises:
        UsageError: the password is too short or too easy, or there is no such account.
    """
    row = _row(session, account_id)
    row.password_hash = hash_password(password, name=row.name)
    end_sessions(session, account_id)


def set_role(session: Session, account_id: int, role: Role | None) -> Person:
    """Change what an account may do; None: nothing.

    Raises:
        UsageError: nobody else would be an owner.
    """
    row = _owned(session, account_id, stays=role is Role.OWNER)
    row.role = role
    session.flush()
    return Person.of(row)


def set_enabled(session: Session, account_id: int, enabled: bool) -> Person:
    """Let an account sign in, or not any more; its sessions end.

    Raises:
        UsageError: nobody else would be an owner.
    """
    row = _owned(session, account_id, stays=enabled)
    row.disabled_at = None if enabled else session.execute(select(func.now())).scalar_one()
    if not enabled:
        end_sessions(session, account_id)
    session.flush()
    return Person.of(row)


def set_label_studio_user(session: Session, account_id: int, user: str | None) -> Person:
    """Note which user of Label Studio the person is, so that nobody settles a dispute about their own vote."""
    row = _row(session, account_id)
    row.label_studio_user = user or None
    session.flush()
    return Person.of(row)


def set_preferences(
    session: Session, account_id: int, *, language: str | None = None, theme: str | None = None
) -> None:
    """Remember language and theme of an account; what is not one of those known is left as it was."""
    row = _row(session, account_id)
    if language in LANGUAGES:
        row.language = language
    if theme in THEMES:
        row.theme = theme
    elif theme == "system":
        row.theme = None


def end_sessions(session: Session, account_id: int) -> int:
    """End all sessions of an account; how many there were."""
    rows = session.scalars(select(WebSession).where(WebSession.account_id == account_id)).all()
    for row in rows:
        session.delete(row)
    session.flush()
    return len(rows)


def _row(session: Session, account_id: int) -> Account:
    row = session.get(Account, account_id)
    if row is None:
        raise UsageError("there is no such account: `saring users list` shows all")
    return row


def _owned(session: Session, account_id: int, *, stays: bool) -> Account:
    """The row of an account that is changed, when there is an owner after the change too."""
    take(session, Lock.ACCOUNTS)
    row = _row(session, account_id)
    if not stays and row.role is Role.OWNER and row.disabled_at is None:
        others = select(func.count()).where(
            Account.role == Role.OWNER, Account.disabled_at.is_(None), Account.id != account_id
        )
        if not session.scalar(others):
            raise UsageError(f"{row.name} is the only owner: make another account an owner first")
    return row


def _storable(name: str) -> str:
    return name.replace("\0", "").encode("utf-8", "replace").decode()
