"""A volunteer's own work, for their page: how much, how often others agreed, what they met, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.measure.intervals import wilson
from pipeline.models.purposes import LABELS
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState
from pipeline.store.tables.volunteers import AnswerKind, AnswerState
from saring.accounts.volunteers import find_volunteer
from saring.actions.registry import list_models
from saring.actions.volunteers import newest_answers
from saring.context import Context
from sync.phone.held import harsh_answers, harsh_met, open_count
from sync.project.days import start_of_day
from sync.pull.apply import RATER

#: texts with answers of others, below which no share is given
LEAST_TEXTS = 5
#: champions that are shown, newest last, and seconds of one text that are believed
_CHAMPIONS, _LONGEST = 10, 600.0


@dataclass(frozen=True, slots=True)
class Agreed:
    """A share of texts on which most others gave the same labels, with its 95% interval (Wilson 1927)."""

    share: float
    low: float
    high: float
    #: texts that others answered too
    texts: int


@dataclass(frozen=True, slots=True)
class OwnWork:
    """The work of one volunteer."""

    #: answers of today, and of all days, here and in Label Studio; to texts of the week too; without skips
    today: int
    answers: int
    #: texts that were skipped today
    skipped_today: int
    #: answers that are kept here and not in Label Studio yet
    waiting: int
    #: None: too few texts that others answered too
    agreed: Agreed | None
    #: tasks that wait for anybody
    left: int
    #: texts that they have seen, without those that their phone holds for later
    harsh_today: int
    harsh_minutes: float
    #: when each champion came, and its macro average precision
    champions: Sequence[tuple[datetime, float]]
    #: True: a model serves, measured or not
    has_champion: bool


def own_work(home: Context, account: int, *, now: datetime | None = None) -> OwnWork:
    """The work of a volunteer, from what was pulled and what still waits.

    Args:
        home: the home with the store.
        account: the volunteer's account.
        now: the moment; None: the present.
    """
    at = now or datetime.now(UTC)
    since = start_of_day(at)
    a, n, v = store.PhoneAnswer, store.Annotation, store.NormingVote
    with open_session(home.engine) as session:
        state = find_volunteer(session, account)
        user = str(state.person.rater) if state is not None and state.person.rater is not None else ""
        gone = (AnnotationState.DELETED, AnnotationState.HELD)
        there = (
            select(
                n.project_id, n.task_id, (n.state == AnnotationState.SKIPPED).label("skipped"), n.updated_at.label("at")
            )
            .join(store.Rater, store.Rater.id == n.rater_id)
            .where(_by(user), n.state.not_in(gone))
        )
        last = newest_answers(account).where(a.state != AnswerState.REFUSED).subquery()
        here = select(last.c.project_id, last.c.task_id, last.c.kind == AnswerKind.SKIPPED, last.c.answered_at)
        # a task counts once, wherever it was answered; an answer in one place counts for more than a skip in the other
        rows = there.union_all(here).subquery()
        tasks = (
            select(func.bool_and(rows.c.skipped).label("skipped"), (func.max(rows.c.at) >= since).label("today"))
            .group_by(rows.c.project_id, rows.c.task_id)
            .subquery()
        )
        answers, today, skipped_today = session.execute(
            select(
                func.count().filter(~tasks.c.skipped),
                func.count().filter(~tasks.c.skipped, tasks.c.today),
                func.count().filter(tasks.c.skipped, tasks.c.today),
            )
        ).one()
        votes = select(v.voted_at).where(v.account_id == account)
        for voted_at in session.scalars(votes):
            answers, today = answers + 1, today + (voted_at >= since)
        waiting = session.execute(
            select(func.count()).where(a.account_id == account, a.state == AnswerState.WAITING)
        ).scalar_one()
        agreed = _agreed(session, user)
        left = open_count(session, user)
        met = harsh_answers(account, since).subquery()
        minutes = session.execute(
            select(func.coalesce(func.sum(func.least(met.c.seconds, _LONGEST)), 0.0) / 60)
        ).scalar_one()
        harsh_today = harsh_met(session, account, user, at)
    champions, has_champion = _champions(home)
    return OwnWork(
        today=today,
        answers=answers,
        skipped_today=skipped_today,
        waiting=waiting,
        agreed=agreed,
        left=left,
        harsh_today=harsh_today,
        harsh_minutes=float(minutes),
        champions=champions,
        has_champion=has_champion,
    )


def _agreed(session: Session, user: str) -> Agreed | None:
    n, r = store.Annotation, store.Rater
    submitted = n.state.in_((AnnotationState.SUBMITTED,))
    own: dict[UUID, frozenset[str]] = {}
    # the newest answer to a text counts
    rows = session.execute(
        select(n.text_id, n.chosen).join(r, r.id == n.rater_id).where(_by(user), submitted).order_by(n.updated_at)
    )
    for text_id, chosen in rows:
        own[text_id] = frozenset(chosen)
    others: dict[UUID, Counter[frozenset[str]]] = {}
    rows = session.execute(
        select(n.text_id, n.chosen)
        .join(r, r.id == n.rater_id)
        .where(n.text_id == func.any(list(own)), submitted, r.name == RATER, r.version != user, r.excluded_at.is_(None))
    )
    for text_id, chosen in rows:
        others.setdefault(text_id, Counter())[frozenset(chosen)] += 1
    if len(others) < LEAST_TEXTS:
        return None
    same = sum(2 * votes[own[text_id]] >= votes.total() for text_id, votes in others.items())
    estimate = wilson(same, len(others))
    if estimate is None:
        return None
    return Agreed(estimate.value, estimate.low, estimate.high, len(others))


def _champions(home: Context) -> tuple[list[tuple[datetime, float]], bool]:
    """The models that serve or served, oldest first, where they were measured; and whether one serves."""
    known, serves = [], False
    for model in list_models(home, LABELS):
        value = (model.macro_average_precision or {}).get("value")
        serves = serves or model.state == "champion"
        if model.state in ("champion", "retired") and value is not None:
            known.append((model.created_at, float(value)))
    return known[:_CHAMPIONS][::-1], serves


def _by(user: str) -> ColumnElement[bool]:
    r = store.Rater
    return and_(r.kind == RaterKind.HUMAN, r.name == RATER, r.version == user)
