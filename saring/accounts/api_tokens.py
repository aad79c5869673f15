"""API tokens: how programs sign in. A token is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.store.tables.accounts import Account, ApiToken, Role
from saring.accounts.credentials import new_token, token_hash
from saring.accounts.people import Person

#: beginning of every token, by which people and scanners of leaked secrets know one
PREFIX = "saring_"
#: requests a minute, unless the token says otherwise
PER_MINUTE = 600
_SHOWN = len(PREFIX) + 6
_NOTED = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, as lists show it."""

    id: int
    name: str
    prefix: str
    role: Role
    per_minute: int
    #: name of the policy of its application; None: `balanced`
    policy: str | None
    account: str
    account_id: int
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def make_token(
    session: Session, owner: Person, name: str, role: Role, *, per_minute: int = PER_MINUTE
) -> tuple[Token, str]:
    """Make a token of an account; the token itself is the second value, and is not stored.

    Raises:
        UsageError: its role would be higher than the account's, or a value is not valid.
    """
    if owner.role is None or not owner.role.allows(role):
        raise UsageError(f"a token cannot do more than its account, which is a {owner.role}: choose a lower role")
    if not 0 < len(name.strip()) <= 100:
        raise UsageError("a token needs a name of at most 100 characters, which says what uses it")
    if not 1 <= per_minute <= 1_000_000:
        raise UsageError("requests a minute are a number from 1 to 1000000")
    secret = new_token(PREFIX)
    row = ApiToken(
        account_id=owner.id,
        name=name.strip(),
        prefix=secret[:_SHOWN],
        token_hash=token_hash(secret),
        role=role,
        per_minute=per_minute,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return _token(row, owner.name), secret


def all_tokens(session: Session, account_id: int | None = None) -> Sequence[Token]:
    """Tokens of an account, or of all; the newest first."""
    query = select(ApiToken, Account.name).join(Account, Account.id == ApiToken.account_id).order_by(ApiToken.id.desc())
    if account_id is not None:
        query = query.where(ApiToken.account_id == account_id)
    return [_token(row, name) for row, name in session.execute(query)]


def revoke_token(session: Session, token_id: int, *, account_id: int | None = None) -> None:
    """Take a token out of use for ever.

    Args:
        session: an open transaction.
        token_id: the token.
        account_id: only if it belongs to this account; None: whosever it is.

    Raises:
        UsageError: there is no such token.
    """
    query = update(ApiToken).where(ApiToken.id == token_id)
    if account_id is not None:
        query = query.where(ApiToken.account_id == account_id)
    changed = session.execute(
        query.values(revoked_at=func.coalesce(ApiToken.revoked_at, func.now())).returning(ApiToken.id)
    )
    if changed.one_or_none() is None:
        raise UsageError("there is no such token: `saring users tokens` shows all")


def find_token(session: Session, secret: str) -> tuple[Person, Token] | None:
    """The account and the token that a secret belongs to; None if it is revoked or never was.

    The role of the account that is returned is what the token may do: the lower of the two roles.
    """
    query = select(ApiToken, Account, ApiToken.last_used_at < func.now() - _NOTED)
    row = session.execute(
        query.join(Account, Account.id == ApiToken.account_id).where(
            ApiToken.token_hash == token_hash(secret),
            ApiToken.revoked_at.is_(None),
            Account.disabled_at.is_(None),
            Account.role.is_not(None),
        )
    ).one_or_none()
    if row is None:
        return None
    token, account, stale = row
    if stale is not False:
        session.execute(update(ApiToken).where(ApiToken.id == token.id).values(last_used_at=func.now()))
    person = Person.of(account)
    role = token.role if account.role is None or account.role.allows(token.role) else account.role
    return Person(person.id, person.name, role, language=person.language, rater=person.rater), _token(
        token, person.name
    )


def _token(row: ApiToken, account: str) -> Token:
    return Token(
        row.id,
        row.name,
        row.prefix,
        row.role,
        row.per_minute,
        row.policy,
        account,
        row.account_id,
        row.created_at,
        row.last_used_at,
        row.revoked_at,
    )
