"""Volunteers who label on pages of Saring: let them in, give them tasks, and bring their answers to Label Studio."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from pipeline import store
from pipeline.errors import LabelStudioError, LabelStudioRefused, SaringError, ServiceError, UsageError, first_line
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import rater_id
from pipeline.progress import Progress, silent
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.volunteers import AnswerKind, AnswerState
from saring.accounts.people import Person, by_id
from saring.accounts.sealing import seal, unseal
from saring.accounts.volunteers import (
    VolunteerState,
    add_person,
    find_volunteer,
    let_in,
    new_personal_link,
    note_token_refused,
    withdraw,
)
from saring.actions.projects import connect
from saring.context import Context
from saring.services import label_studio_access
from sync.api.client import LabelStudio
from sync.api.new_user import sign_up
from sync.phone.answers import Delivered, NewAnswer, accounts_with_waiting, deliver, keep
from sync.phone.held import HeldTask, Wishes, hold, release
from sync.project.days import start_of_day
from sync.pull.apply import RATER
from sync.quality.exclusion import exclude, include

log = logging.getLogger(__name__)

#: seconds that an answer of Label Studio may take while a volunteer waits
_PATIENCE = 20.0
#: the longest wait between two tries, in seconds: the person can try again by themselves
_LONGEST_WAIT = 0.2
#: why a volunteer's answers are left out, for the record
WITHDRAWN = "the volunteer took their consent back"


@dataclass(frozen=True, slots=True)
class Hand:
    """The tasks that a volunteer has before them, and how many answers they gave."""

    tasks: Sequence[HeldTask] = ()
    #: answers given today
    today: int = 0
    #: most answers a day; None: no limit
    cap: int | None = None
    #: answers that are kept here and not in Label Studio yet
    waiting: int = 0
    #: why there are no tasks: `away` (Label Studio does not answer), `token` (it refuses the volunteer's token), `cap`,
    #: `closed` (not let in, or no consent), `practice` (it comes first); None: there are, or none is left
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """The fate of answers that a browser sent."""

    #: `kept` or `not held`, by the answer's id
    kept: Mapping[UUID, str]
    delivered: Delivered = field(default_factory=Delivered)


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody who was invited."""

    person: Person
    #: of the personal link; it is stored nowhere
    token: str
    #: False: Label Studio failed, and a maintainer lets them in later
    let_in: bool


def approve(home: Context, account: int, *, token: str | None = None, progress: Progress = silent) -> Person:
    """Let a volunteer in: make them a user in Label Studio with a token, or take a token of a user that they have.

    Args:
        home: the home with the store.
        account: who asked to be a volunteer.
        token: a token of the user that they have in Label Studio; None: a new user is made.
        progress: called while services start.

    Raises:
        UsageError: the account neither asked nor was invited, or another account has the token's user.
        LabelStudioError: the server fails, or refuses the token.
    """
    with home.begin() as session:
        person = by_id(session, account)
        if find_volunteer(session, account) is None:
            raise UsageError(f"{person.name} did not ask to be a volunteer")
    with connect(home, progress) as owner:
        if token is not None:
            with LabelStudio(owner.url, token.strip(), timeout=_PATIENCE) as theirs:
                user = theirs.own_user
        else:
            invitation = str((owner.get("/api/invite") or {}).get("invite_url") or "")
            # tells nobody who they are
            made = sign_up(owner.url, invitation, f"volunteer-{account}-{secrets.token_hex(4)}@saring.invalid")
            user, token = made.user, made.token
    with home.begin() as session:
        a = store.Account
        other = session.scalar(select(a.name).where(a.label_studio_user == user, a.id != account))
        if other is not None:
            raise UsageError(f"this token is of a user that {other} is: every volunteer needs a user of their own")
        known = let_in(session, account, user=user, token=seal(home.settings, token.strip()))
    if _was_withdrawn(home, user):
        include(home.engine, user, why="the volunteer agreed again")
    return known


def invite(home: Context, name: str, *, progress: Progress = silent) -> Invited:
    """Make a volunteer of somebody who did not ask, with a personal link, and let them in.

    They are given no texts until they have agreed to the terms, which their link opens first.

    Args:
        home: the home with the store.
        name: of the account.
        progress: called while services start.

    Raises:
        UsageError: the name is taken, or cannot be one.
    """
    with home.begin() as session:
        person = add_person(session, name, Role.VOLUNTEER)
        token = new_personal_link(session, person.id)
    try:
        return Invited(approve(home, person.id, progress=progress), token, True)
    except SaringError as error:
        # the link works, and a maintainer lets them in when Label Studio answers
        log.warning("account %s is invited and not let in yet: %s", person.id, first_line(error))
        return Invited(person, token, False)


def hand(home: Context, account: int, *, want: int = 3, now: datetime | None = None) -> Hand:
    """The tasks that a volunteer has before them; Label Studio gives out more where there are too few.

    Args:
        home: the home with the store.
        account: the volunteer's account.
        want: number of tasks.
        now: the moment; None: the present.
    """
    at = now or datetime.now(UTC)
    with open_session(home.engine) as session:
        state = find_volunteer(session, account)
    today, waiting = _counts(home, account, at)
    cap = state.daily_cap if state is not None else None
    if state is None or not state.may_label:
        return Hand((), today, cap, waiting, "closed")
    if home.settings.practice == "require" and state.practised_at is None:
        return Hand((), today, cap, waiting, "practice")
    room = want if cap is None else min(want, cap - today)
    if room <= 0:
        return Hand((), today, cap, waiting, "cap")
    wishes = Wishes(str(state.person.rater), state.avoid, room)
    try:
        with _as_volunteer(home, state) as client, _as_owner(home) as owner:
            tasks = hold(home.engine, client, owner, account, wishes, taxonomy=home.taxonomy, now=at)
    except LabelStudioRefused as error:
        log.warning("Label Studio refuses the token of account %s: %s", account, error)
        _refused(home, account)
        return Hand((), today, cap, waiting, "token")
    except (LabelStudioError, ServiceError) as error:
        log.warning("no tasks for account %s: %s", account, error)
        return Hand((), today, cap, waiting, "away")
    return Hand(tasks, today, cap, waiting)


def give(home: Context, account: int, answers: Sequence[NewAnswer], *, now: datetime | None = None) -> Given:
    """Keep answers, and write them to Label Studio if it is there; else a regular job does so later.

    Args:
        home: the home with the store.
        account: the volunteer's account.
        answers: in the order in which they were given.
        now: the moment; None: the present.

    Raises:
        UsageError: the account is no volunteer's, or took the consent back.
    """
    at = now or datetime.now(UTC)
    with open_session(home.engine) as session:
        state = find_volunteer(session, account)
    if state is None or state.withdrawn_at is not None:
        raise UsageError("this account does not label: agree to the terms at /me first")
    kept = keep(home.engine, account, answers, now=at)
    return Given(kept, _deliver(home, state, at, wait=True))


def finish(home: Context, *, now: datetime | None = None) -> dict[str, int]:
    """Write the answers that still wait to Label Studio; what became of them, in numbers.

    Args:
        home: the home with the store.
        now: the moment; None: the present.
    """
    at = now or datetime.now(UTC)
    counts = {"sent": 0, "refused": 0, "waiting": 0}
    with open_session(home.engine) as session:
        states = [find_volunteer(session, account) for account in accounts_with_waiting(session)]
    for state in states:
        if state is not None:
            outcome = _deliver(home, state, at, wait=False)
            counts["sent"] += outcome.sent
            counts["refused"] += outcome.refused
            counts["waiting"] += outcome.waiting
    return counts


def leave(home: Context, account: int, *, now: datetime | None = None) -> None:
    """Take a volunteer's consent back: their tasks go back to others, and what they said counts no more.

    Their judgements stay in the ledger, which is never changed, and are left out of what is believed and learnt. The
    answers that still wait are not sent. What they said of texts of the week is removed.

    Args:
        home: the home with the store.
        account: the volunteer's account.
        now: the moment; None: the present.

    Raises:
        UsageError: the account is no volunteer's.
    """
    at = now or datetime.now(UTC)
    with open_session(home.engine) as session:
        state = find_volunteer(session, account)
    if state is None:
        raise UsageError("this account is no volunteer's")
    if state.person.rater is not None:
        with home.begin() as session:
            # there may be answers that were not pulled yet
            rater_id(session, RaterRef(RaterKind.HUMAN, RATER, state.person.rater))
        exclude(home.engine, state.person.rater, why=WITHDRAWN, now=at)
    if state.has_token:
        try:
            with _as_volunteer(home, state) as client, _as_owner(home) as owner:
                release(home.engine, client, owner, account)
        except SaringError as error:
            # their locks end by themselves in a day
            log.warning("the tasks of account %s could not be given back: %s", account, error)
    a = store.PhoneAnswer
    with home.begin() as session:
        withdraw(session, account)
        # together with it, so that an answer that comes in meanwhile is not left to wait for ever
        waiting = update(a).where(a.account_id == account, a.state == AnswerState.WAITING)
        session.execute(waiting.values(state=AnswerState.REFUSED, why=WITHDRAWN))
        # no judgements: nothing keeps these words
        session.execute(delete(store.NormingVote).where(store.NormingVote.account_id == account))


def _deliver(home: Context, state: VolunteerState, at: datetime, *, wait: bool) -> Delivered:
    account, user = state.person.id, state.person.rater
    waiting = Delivered(waiting=_counts(home, account, at)[1])
    if not waiting.waiting or user is None or not state.has_token:
        return waiting
    try:
        with _as_volunteer(home, state) as client:
            outcome = deliver(home.engine, client, account, user, taxonomy=home.taxonomy, now=at, wait=wait)
    except SaringError as error:
        log.warning("answers of account %s wait: %s", account, first_line(error))
        return waiting
    if outcome.token_refused:
        _refused(home, account)
    return outcome


@contextmanager
def _as_volunteer(home: Context, state: VolunteerState) -> Iterator[LabelStudio]:
    """Label Studio in a volunteer's name. It is not started for them: that is the keeper's work."""
    access = label_studio_access(home.settings)
    with open_session(home.engine) as session:
        sealed = session.get_one(store.Volunteer, state.person.id).token
    if access is None or sealed is None:
        raise ServiceError("Label Studio was never started here: run `saring up`")
    token = unseal(home.settings, sealed)
    with LabelStudio(access.url, token, timeout=_PATIENCE, sleep=_short_sleep) as client:
        yield client


@contextmanager
def _as_owner(home: Context) -> Iterator[LabelStudio]:
    """Label Studio in the owner's name, for what a volunteer may not do there. It is not started."""
    access = label_studio_access(home.settings)
    if access is None:
        raise ServiceError("Label Studio was never started here: run `saring up`")
    with LabelStudio(access.url, access.api_key, timeout=_PATIENCE, sleep=_short_sleep) as client:
        yield client


def _short_sleep(seconds: float) -> None:
    time.sleep(min(seconds, _LONGEST_WAIT))


def answers_today(home: Context, account: int, at: datetime) -> int:
    """The answers that a volunteer gave today on pages of Saring: each task once, and texts of the week.

    A text that was skipped is no answer: to skip costs nothing, so it uses nothing up of what a person wants a day.
    """
    a, v = store.PhoneAnswer, store.NormingVote
    since = start_of_day(at)
    last = newest_answers(account).where(a.answered_at >= since).subquery()
    tasks = select(last.c.task_id).where(last.c.kind != AnswerKind.SKIPPED)
    votes = select(func.count()).where(v.account_id == account, v.voted_at >= since)
    with open_session(home.engine) as session:
        answered = session.execute(select(func.count()).select_from(tasks.subquery())).scalar_one()
        return answered + session.execute(votes).scalar_one()


def newest_answers(account: int) -> Select[int, int, AnswerKind, datetime]:
    """The last answer of a volunteer to each task, as project, task, kind and moment.

    What was undone before it is not there: a text can be skipped, brought back and answered.
    """
    a = store.PhoneAnswer
    return (
        select(a.project_id, a.task_id, a.kind, a.answered_at)
        .where(a.account_id == account)
        .ext(distinct_on(a.project_id, a.task_id))
        .order_by(a.project_id, a.task_id, a.number.desc())
    )


def _counts(home: Context, account: int, at: datetime) -> tuple[int, int]:
    """Answers of today, and answers that wait."""
    a = store.PhoneAnswer
    today = answers_today(home, account, at)
    with open_session(home.engine) as session:
        waiting = session.execute(
            select(func.count()).where(a.account_id == account, a.state == AnswerState.WAITING)
        ).scalar_one()
    return today, waiting


def _refused(home: Context, account: int) -> None:
    with home.begin() as session:
        note_token_refused(session, account)


def _was_withdrawn(home: Context, user: str) -> bool:
    r = store.Rater
    with open_session(home.engine) as session:
        why = session.scalar(
            select(r.excluded_why).where(r.kind == RaterKind.HUMAN, r.name == RATER, r.version == user)
        )
    return why == WITHDRAWN
