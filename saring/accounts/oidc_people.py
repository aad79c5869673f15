"""Sign-ins through an OpenID provider in the store: those that have begun, and the accounts that they lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.store.locks import Lock, take
from pipeline.store.tables.accounts import Account, Role, SignInAttempt
from saring.accounts.audit import write_entry
from saring.accounts.credentials import new_token, token_hash
from saring.accounts.oidc import Claims, SignInRefused, role_of
from saring.accounts.people import Person, add_account, set_role

#: time in which a person has to sign in at the provider
_VALID = timedelta(minutes=10)
#: sign-ins that may have begun at once: everybody can begin one
_MOST_OPEN = 5_000
_NOT_IN_NAMES = re.compile(r"[\s\x00-\x1f\x7f-\x9f<>\"'&]+")
#: names that are tried where one is taken
_MOST_NAMES = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that has begun."""

    state: str
    #: the cookie of the browser that began it
    browser: str
    nonce: str
    verifier: str
    next_path: str


def begin_attempt(session: Session, next_path: str) -> Attempt:
    """Begin a sign-in.

    Raises:
        UsageError: too many have begun and not ended.
    """
    a = SignInAttempt
    session.execute(delete(a).where(a.expires_at < func.now()))
    if (
        session.scalar(select(func.count()).select_from(select(a.state_hash).limit(_MOST_OPEN).subquery()))
        == _MOST_OPEN
    ):
        raise UsageError("too many sign-ins have begun: try again in ten minutes, or sign in with a password")
    attempt = Attempt(new_token(), new_token(), new_token(), new_token(), next_path[:2000])
    expires = session.execute(select(func.now())).scalar_one() + _VALID
    session.add(
        a(
            state_hash=token_hash(attempt.state),
            browser_hash=token_hash(attempt.browser),
            nonce=attempt.nonce,
            verifier=attempt.verifier,
            next_path=attempt.next_path,
            expires_at=expires,
        )
    )
    session.flush()
    return attempt


def end_attempt(session: Session, state: str, browser: str) -> Attempt:
    """End a sign-in; it cannot be ended again.

    Raises:
        SignInRefused: it did not begin in this browser, is too old, or has ended.
    """
    a = SignInAttempt
    row = session.execute(
        delete(a)
        .where(a.state_hash == token_hash(state), a.browser_hash == token_hash(browser), a.expires_at > func.now())
        .returning(a.nonce, a.verifier, a.next_path)
    ).one_or_none()
    if row is None:
        raise SignInRefused("this sign-in is too old, has ended, or began in another browser: begin again")
    return Attempt(state, browser, *row)


def person_of(session: Session, claims: Claims, settings: Settings) -> Person:
    """The account of a person whom the provider knows, made at their first sign-in.

    An account that is there already is known by issuer and subject only: a name or an e-mail address can be given to
    somebody else. Where groups give roles, they do so at each sign-in.

    Raises:
        SignInRefused: the account is disabled.
    """
    take(session, Lock.ACCOUNTS)
    row = session.scalar(
        select(Account).where(Account.oidc_issuer == claims.issuer, Account.oidc_subject == claims.subject)
    )
    is_new = row is None
    if row is None:
        first = None if settings.oidc_role == "none" else Role(settings.oidc_role)
        made = _add(session, claims, role_of(claims, settings) if settings.oidc_role_claim else first)
        row = session.get_one(Account, made.id)
        row.oidc_issuer, row.oidc_subject = claims.issuer, claims.subject
        session.flush()
        write_entry(
            session, "account.made", {"with": "OpenID Connect", "role": row.role}, account_id=row.id, who=row.name
        )
    if row.disabled_at is not None:
        raise SignInRefused(f"the account {row.name} is disabled: ask an owner")
    wanted = role_of(claims, settings)
    if not is_new and settings.oidc_role_claim is not None and wanted is not row.role:
        _change_role(session, row, wanted)
    return Person.of(row)


def _change_role(session: Session, row: Account, role: Role | None) -> None:
    try:
        set_role(session, row.id, role)
    except UsageError as error:
        # the only owner stays one
        details = {"with": "OpenID Connect", "role": role, "failed": str(error)}
    else:
        details = {"with": "OpenID Connect", "role": role}
    write_entry(session, "account.role", details, account_id=row.id, who=row.name)


def _add(session: Session, claims: Claims, role: Role | None) -> Person:
    wanted = _NOT_IN_NAMES.sub("-", claims.name.encode("utf-8", "replace").decode()).strip("-")[:60] or "user"
    names = (wanted, *(f"{wanted}-{number}" for number in range(2, _MOST_NAMES)), f"{wanted}-{new_token()[:12]}")
    for name in names:
        taken = session.scalar(select(Account.id).where(func.lower(Account.name) == func.lower(name)))
        if taken is None:
            return add_account(session, name, role, email=claims.email)
    raise SignInRefused("no name is left for this account: ask an owner")
