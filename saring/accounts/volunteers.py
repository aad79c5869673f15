"""Volunteers: who asks to be one, who is, their personal links, and what they wish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.store.locks import Lock, take
from pipeline.store.tables.accounts import Account, Role
from saring.accounts.credentials import new_token, token_hash
from saring.accounts.people import Person, add_account, end_sessions

#: version of the words that people agree to (saring/web/templates/join): a new one asks everybody again
CONSENT = "1"
#: in place of that version where somebody was invited and has not agreed to anything yet
NOT_ASKED = ""
#: people who ask to be volunteers and wait, at most
MOST_WAITING = 200
#: minutes after which a break is offered: least and most that can be chosen
BREAKS = (5, 120)
#: answers a day: least and most that can be chosen as the limit
CAPS = (1, 10_000)


@dataclass(frozen=True, slots=True)
class VolunteerState:
    """A volunteer, as pages and acts see them."""

    person: Person
    consent: str
    consented_at: datetime
    withdrawn_at: datetime | None
    approved_at: datetime | None
    has_token: bool
    token_refused_at: datetime | None
    practised_at: datetime | None
    avoid: tuple[str, ...]
    daily_cap: int | None
    break_minutes: int

    @property
    def invited(self) -> bool:
        """True where somebody invited the person, who has not agreed to anything yet."""
        return self.consent == NOT_ASKED

    @property
    def agreed(self) -> bool:
        """True where the person agrees to the terms as they are now."""
        return self.withdrawn_at is None and self.consent == CONSENT

    @property
    def may_label(self) -> bool:
        """True where the person can be given texts."""
        return self.agreed and self.approved_at is not None and self.has_token and self.person.rater is not None


def ask_to_join(session: Session, name: str, *, language: str | None = None) -> tuple[Person, str]:
    """Make an account without a role for somebody who wants to be a volunteer and agrees to the terms.

    Returns:
        The account, and the token of its personal link.

    Raises:
        UsageError: the name is taken or cannot be one, or too many people wait.
    """
    take(session, Lock.ACCOUNTS)
    v = store.Volunteer
    waiting = session.scalar(
        select(func.count())
        .select_from(v)
        .join(Account, Account.id == v.account_id)
        .where(v.approved_at.is_(None), v.withdrawn_at.is_(None), Account.disabled_at.is_(None))
    )
    if (waiting or 0) >= MOST_WAITING:
        raise UsageError("too many people wait to be let in: try again in some days")
    person = add_account(session, name, None)
    session.get_one(Account, person.id).language = language
    session.add(store.Volunteer(account_id=person.id, consent=CONSENT))
    session.flush()
    return person, new_personal_link(session, person.id)


def add_person(session: Session, name: str, role: Role, *, email: str | None = None) -> Person:
    """Make an account for somebody who did not ask. A volunteer is asked for consent, and is given no texts before.

    Raises:
        UsageError: the name is taken, or cannot be one.
    """
    person = add_account(session, name, role, email=email)
    if role is Role.VOLUNTEER:
        session.add(store.Volunteer(account_id=person.id, consent=NOT_ASKED))
        session.flush()
    return person


def new_personal_link(session: Session, account: int) -> str:
    """Make a personal link; its token, which is not stored. The link before stops working."""
    link, token = store.PersonalLink, new_token()
    values = {"token_hash": token_hash(token), "created_at": func.now(), "used_at": None}
    row = insert(link).values(account_id=account, **values)
    session.execute(row.on_conflict_do_update(index_elements=[link.account_id], set_=values))
    return token


def by_personal_link(session: Session, token: str) -> Person | None:
    """The account that a personal link belongs to; None if it was replaced, never was, or its account is disabled."""
    link = store.PersonalLink
    row = session.scalar(
        select(Account)
        .join(link, link.account_id == Account.id)
        .where(link.token_hash == token_hash(token), Account.disabled_at.is_(None))
    )
    return None if row is None else Person.of(row)


def note_link_used(session: Session, account: int) -> None:
    """Note that somebody signed in with their personal link."""
    link = store.PersonalLink
    session.execute(update(link).where(link.account_id == account).values(used_at=func.now()))


def find_volunteer(session: Session, account: int) -> VolunteerState | None:
    """An account's dealings as a volunteer; None: it has none."""
    row = session.get(store.Volunteer, account)
    return None if row is None else _state(session.get_one(Account, account), row)


def all_volunteers(session: Session) -> Sequence[VolunteerState]:
    """All volunteers: first those who wait to be let in, then by name."""
    v = store.Volunteer
    rows = session.execute(
        select(Account, v)
        .join(v, v.account_id == Account.id)
        .order_by(v.approved_at.is_not(None), v.withdrawn_at.is_not(None), func.lower(Account.name))
    )
    return [_state(account, row) for account, row in rows]


def let_in(session: Session, account: int, *, user: str, token: bytes) -> Person:
    """Let somebody in who asked: their user in Label Studio, and its encrypted token. A role that they have stays.

    Raises:
        UsageError: the account did not ask.
    """
    row, owner = _row(session, account), session.get_one(Account, account)
    row.token, row.token_refused_at = token, None
    row.approved_at = row.approved_at or session.execute(select(func.now())).scalar_one()
    owner.label_studio_user = user
    if owner.role is None:
        owner.role = Role.VOLUNTEER
    session.flush()
    return Person.of(owner)


def note_token_refused(session: Session, account: int) -> None:
    """Note that Label Studio does not take a volunteer's token any more."""
    _row(session, account).token_refused_at = session.execute(select(func.now())).scalar_one()


def set_wishes(
    session: Session, account: int, *, avoid: Sequence[str], daily_cap: int | None, break_minutes: int
) -> None:
    """Remember what a volunteer would rather not see, how much they want at most, and when they want a break.

    Raises:
        UsageError: a number is out of range.
    """
    (fewest, largest), (least, most) = CAPS, BREAKS
    if daily_cap is not None and not fewest <= daily_cap <= largest:
        raise UsageError(f"the most answers a day must be from {fewest} to {largest:,}, or empty for no limit")
    if not least <= break_minutes <= most:
        raise UsageError(f"the minutes until a break must be from {least} to {most}")
    row = _row(session, account)
    row.avoid, row.daily_cap, row.break_minutes = list(avoid), daily_cap, break_minutes


def agree(session: Session, account: int) -> None:
    """Note that a person agrees to the terms, or does so again."""
    values = {"consent": CONSENT, "consented_at": func.now(), "withdrawn_at": None}
    row = insert(store.Volunteer).values(account_id=account, **values)
    session.execute(row.on_conflict_do_update(index_elements=[store.Volunteer.account_id], set_=values))


def withdraw(session: Session, account: int) -> None:
    """Note that a person takes their consent back: they are given no more texts, and their token is forgotten.

    Their sessions stay: they can read what follows, and agree again.
    """
    row = _row(session, account)
    row.withdrawn_at = session.execute(select(func.now())).scalar_one()
    row.token, row.approved_at = None, None


def refuse(session: Session, account: int) -> Person:
    """Refuse somebody who asked: the account is disabled, and its link stops working.

    Raises:
        UsageError: they were let in already.
    """
    row, owner = _row(session, account), session.get_one(Account, account)
    if row.approved_at is not None:
        raise UsageError(f"{owner.name} was let in: an owner can disable the account at Accounts")
    owner.disabled_at = session.execute(select(func.now())).scalar_one()
    end_sessions(session, account)
    return Person.of(owner)


def _row(session: Session, account: int) -> store.Volunteer:
    row = session.get(store.Volunteer, account)
    if row is None:
        raise UsageError("this account is no volunteer's")
    return row


def _state(account: Account, row: store.Volunteer) -> VolunteerState:
    return VolunteerState(
        Person.of(account),
        row.consent,
        row.consented_at,
        row.withdrawn_at,
        row.approved_at,
        row.token is not None,
        row.token_refused_at,
        row.practised_at,
        tuple(row.avoid),
        row.daily_cap,
        row.break_minutes,
    )
