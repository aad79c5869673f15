"""One-time links: they sign an account in once, to choose a password."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from pipeline.store.tables.accounts import Account, OneTimeLink, Role
from saring.accounts.credentials import new_token, token_hash
from saring.accounts.people import Person, add_account, has_owner

#: time in which a link can be used
VALID = timedelta(hours=24)
#: name of the account that the first link makes
FIRST_OWNER = "owner"


def new_link(session: Session, account_id: int) -> str:
    """Make a one-time link for an account; its token. Older links of the account stop working."""
    session.execute(
        update(OneTimeLink)
        .where(OneTimeLink.account_id == account_id, OneTimeLink.used_at.is_(None))
        .values(used_at=func.now())
    )
    token = new_token()
    expires = session.execute(select(func.now())).scalar_one() + VALID
    session.add(OneTimeLink(token_hash=token_hash(token), account_id=account_id, expires_at=expires))
    session.flush()
    return token


def first_link(session: Session) -> str | None:
    """A one-time link for the first owner, where nobody can sign in as an owner yet; else None."""
    if has_owner(session):
        return None
    query = select(Account).where(Account.role == Role.OWNER, Account.disabled_at.is_(None)).order_by(Account.id)
    row = session.scalar(query.limit(1))
    account_id = row.id if row is not None else add_account(session, FIRST_OWNER, Role.OWNER).id
    return new_link(session, account_id)


def peek_link(session: Session, token: str) -> Person | None:
    """The account that a link is for; None if it cannot be used any more."""
    o = OneTimeLink
    query = select(Account).join(o, o.account_id == Account.id)
    row = session.scalar(
        query.where(
            o.token_hash == token_hash(token),
            o.used_at.is_(None),
            o.expires_at > func.now(),
            Account.disabled_at.is_(None),
        )
    )
    return None if row is None else Person.of(row)


def use_link(session: Session, token: str) -> Person | None:
    """Use up a link; the account that it is for. None if it was used, is too old, or never was."""
    person = peek_link(session, token)
    used = session.execute(
        update(OneTimeLink)
        .where(OneTimeLink.token_hash == token_hash(token), OneTimeLink.used_at.is_(None))
        .values(used_at=func.now())
        .returning(OneTimeLink.account_id)
    ).one_or_none()
    return person if used is not None else None
