"""Norming: each week, volunteers look again at the five texts that divided people most.

Each gives a blind answer with a reason, and only then sees everybody's answers and reasons, without names; what a
reviewer settles, and what that changes in the guidelines, comes last. An answer here is no judgement: its text was
chosen because people differed, and Label Studio stays the record. What is settled is one.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.resolve import current_judgements
from pipeline.review.reasons import Ground, Reason
from pipeline.review.state import read_state
from pipeline.store.locks import lock_key, take
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from pipeline.store.tables.volunteers import AnswerKind
from pipeline.texts.masking import mask
from saring.accounts.volunteers import VolunteerState, find_volunteer
from saring.actions.volunteers import answers_today
from saring.context import Context
from sync.phone.held import harsh_today
from sync.quality.divided import TEXTS, monday, most_divided, read_ballots

#: characters of a reason
LONGEST_REASON = 300
#: weeks that pages lead to
_WEEKS = 8
#: time after which texts are looked for again, where a week has too few
_AGAIN = timedelta(hours=1)
#: answers that can be given here; a text is left out by giving none
KINDS = (AnswerKind.LABELS, AnswerKind.NONE, AnswerKind.UNDECIDED)


@dataclass(frozen=True, slots=True)
class Topic:
    """A text of a week, as one volunteer may see it."""

    week: date
    #: from 1
    place: int
    #: masked; empty: it is not shown, and `hidden` says why
    text: str
    language: str | None
    #: the person has answered it
    voted: bool
    #: a reviewer settled it; only told to whoever has answered
    settled: bool
    #: why it is not shown: `removed`, `avoided` (it may have a label that the person would rather not see), `harsh`
    #: (they met enough of such texts today), `cap` (their last answer for today was given); None: it is shown
    hidden: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The settled answer of a text."""

    #: labels that it has, and labels that it has not
    yes: tuple[str, ...]
    no: tuple[str, ...]
    #: None: the reviewer gave own words, which are not for everybody
    ground: Ground | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """The blind answers to a text, added up."""

    #: people who answered
    people: int
    #: labels that were chosen, each with how many chose it, most first
    labels: Sequence[tuple[str, int]]
    #: people who said that no label fits, and who could not decide
    none: int
    undecided: int


@dataclass(frozen=True, slots=True)
class Words:
    """A reason, without a name."""

    #: of the answer that it belongs to; it tells nobody whose that is
    id: uuid.UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Heard:
    """All that was said of a text, for somebody who has answered it."""

    topic: Topic
    kind: AnswerKind
    labels: tuple[str, ...]
    reason: str
    counts: Counts
    #: of everybody, in an order that tells nothing
    reasons: Sequence[Words]
    #: None: no reviewer has settled it yet
    answer: Answer | None
    #: what it changes in the guidelines; None: nobody wrote it
    note: str | None


def weeks(home: Context, *, now: datetime | None = None) -> list[date]:
    """The weeks that have texts, newest first; the present one is among them if texts could be chosen for it."""
    at = now or datetime.now(UTC)
    choose(home, monday(at), at)
    n = store.NormingText
    with open_session(home.engine) as session:
        query = select(n.week).distinct().order_by(n.week.desc()).limit(_WEEKS)
        return list(session.scalars(query))


def topics(home: Context, account: int, week: date, *, now: datetime | None = None) -> list[Topic]:
    """The texts of a week, as a volunteer may see them; none: they may not take part.

    Args:
        home: the home with the store.
        account: the volunteer's account.
        week: its Monday.
        now: the moment; None: the present.
    """
    at = now or datetime.now(UTC)
    n = store.NormingText
    with open_session(home.engine) as session:
        state = find_volunteer(session, account)
        rows = session.scalars(select(n).where(n.week == week).order_by(n.place)).all()
        if not may_take_part(home, state) or state is None or not rows:
            return []
        limits = _limits(home, session, state, at)
        return [_topic(home, session, state, row, limits) for row in rows]


def may_take_part(home: Context, state: VolunteerState | None) -> bool:
    """True where somebody agrees to the terms, was let in, and has practised where that comes first."""
    if state is None or not state.agreed or state.approved_at is None:
        return False
    return home.settings.practice != "require" or state.practised_at is not None


def vote(
    home: Context,
    account: int,
    week: date,
    place: int,
    kind: AnswerKind,
    labels: Sequence[str] = (),
    reason: str = "",
    *,
    now: datetime | None = None,
) -> bool:
    """Keep a blind answer. The first one stays, whatever is sent later; False: the text is not shown to the person.

    Args:
        home: the home with the store.
        account: the volunteer's account.
        week: the Monday of the text's week.
        place: of the text in its week, from 1.
        kind: `labels`, `none` or `undecided`.
        labels: keys of the labels that fit.
        reason: why, in own words; personal data in it is masked.
        now: the moment; None: the present.

    Raises:
        UsageError: the answer cannot be one, or its reason is too long.
    """
    at = now or datetime.now(UTC)
    chosen = [key for key in home.taxonomy.keys if key in labels] if kind is AnswerKind.LABELS else []
    if kind not in KINDS or (kind is AnswerKind.LABELS and not chosen):
        raise UsageError("choose a label, or say that none fits or that you cannot decide")
    for key in chosen:
        others = home.taxonomy.excludes[key] & set(chosen)
        if others:
            raise UsageError(f"a text cannot be both {key!r} and {min(others)!r}: take one of them back")
    row = text_of_week(home, week, place)
    topic = next((topic for topic in topics(home, account, week, now=at) if topic.place == place), None)
    if row is None or topic is None:
        return False
    if topic.voted:
        return True
    if topic.hidden is not None:
        return False
    v = store.NormingVote
    with home.begin() as session:
        state = session.get_one(store.Volunteer, account, with_for_update=True)
        if state.withdrawn_at is not None:
            # taken back meanwhile, with all that was said before
            return False
        values = {
            "id": uuid.uuid4(),
            "account_id": account,
            "text_id": row.text_id,
            "kind": kind,
            "labels": chosen,
            "reason": tidied(reason, LONGEST_REASON),
            "harsh": bool(_claimed(session, row.text_id) & set(home.taxonomy.harmful)),
            "voted_at": at,
        }
        session.execute(insert(v).values(values).on_conflict_do_nothing())
    return True


def heard(home: Context, account: int, week: date, place: int, *, now: datetime | None = None) -> Heard | None:
    """All that was said of a text; None: the person has not answered it, or it is not shown to them.

    Args:
        home: the home with the store.
        account: the volunteer's account.
        week: the Monday of the text's week.
        place: of the text in its week, from 1.
        now: the moment; None: the present.
    """
    topic = next((topic for topic in topics(home, account, week, now=now) if topic.place == place), None)
    if topic is None or not topic.voted or topic.hidden is not None:
        return None
    row, v = text_of_week(home, week, place), store.NormingVote
    assert row is not None
    with open_session(home.engine) as session:
        votes = votes_of(session, row.text_id)
        own = session.scalars(select(v).where(v.account_id == account, v.text_id == row.text_id)).one()
        return Heard(
            topic,
            own.kind,
            tuple(own.labels),
            own.reason,
            counts_of(votes),
            reasons_of(votes),
            answer_of(home, session, row.text_id),
            row.note,
        )


def take_words_back(home: Context, account: int, week: date, place: int) -> None:
    """Remove the words of one's own reason; the answer stays."""
    row, v = text_of_week(home, week, place), store.NormingVote
    if row is not None:
        with home.begin() as session:
            session.execute(update(v).where(v.account_id == account, v.text_id == row.text_id).values(reason=""))


def tidied(words: str, longest: int) -> str:
    """Words in one line, with personal data masked.

    Raises:
        UsageError: there are too many.
    """
    plain = " ".join(words.replace("\0", "").split())
    if len(plain) > longest:
        raise UsageError(f"these words have {len(plain):,} characters: use at most {longest:,}")
    return mask(plain)


def choose(home: Context, week: date, at: datetime) -> None:
    """Choose the texts of a week, once. Places that stayed empty are filled when more answers are there."""
    n, w = store.NormingText, store.NormingWeek
    with open_session(home.engine) as session:
        known = session.get(w, week)
        if known is not None and at - known.looked_at < _AGAIN:
            return
        if session.execute(select(func.count()).where(n.week == week)).scalar_one() >= TEXTS:
            return
    with home.begin() as session:
        take(session, lock_key("norming", "choice"))
        taken = session.scalars(select(n.place).where(n.week == week)).all()
        session.execute(
            insert(w)
            .values(week=week, looked_at=at)
            .on_conflict_do_update(index_elements=[w.week], set_={"looked_at": at})
        )
        free = range(len(taken) + 1, TEXTS + 1)
        chosen = most_divided(read_ballots(session, home.taxonomy, week), week, most=len(free))
        for place, divided in zip(free, chosen, strict=False):
            session.add(
                store.NormingText(
                    week=week,
                    place=place,
                    text_id=divided.text,
                    labels=list(divided.labels),
                    division=divided.value,
                    chosen_at=at,
                )
            )


@dataclass(frozen=True, slots=True)
class _Limits:
    """The answers that a volunteer may still give today."""

    #: False: their own cap is reached
    more: bool
    #: False: they met as many harsh texts as a project allows
    harsh: bool


def _limits(home: Context, session: Session, state: VolunteerState, at: datetime) -> _Limits:
    account, user, p = state.person.id, str(state.person.rater), store.Project
    more = state.daily_cap is None or answers_today(home, account, at) < state.daily_cap
    cap = session.scalar(
        select(func.min(p.harsh_cap)).where(p.state == ProjectState.OPEN, p.volunteer.is_(None) | (p.volunteer == user))
    )
    return _Limits(more, cap is None or harsh_today(home.engine, account, user, at) < cap)


def _topic(home: Context, session: Session, state: VolunteerState, row: store.NormingText, limits: _Limits) -> Topic:
    v = store.NormingVote
    text = session.get_one(store.Text, row.text_id)
    voted = session.scalar(select(v.id).where(v.account_id == state.person.id, v.text_id == row.text_id)) is not None
    claimed = _claimed(session, row.text_id)
    hidden = None
    if not text.in_scope:
        hidden = "removed"
    elif claimed & set(state.avoid):
        hidden = "avoided"
    elif not voted and not limits.more:
        hidden = "cap"
    elif not voted and not limits.harsh and claimed & set(home.taxonomy.harmful):
        hidden = "harsh"
    return Topic(
        row.week,
        row.place,
        text.masked if hidden is None else "",
        text.language,
        voted,
        voted and answer_of(home, session, row.text_id) is not None,
        hidden,
    )


def _claimed(session: Session, text_id: uuid.UUID) -> set[str]:
    """The labels that anybody says the text has."""
    chosen = select(store.Text.id).where(store.Text.id == text_id)
    labels: set[str] = set()
    for _, judgements in judgements_by_text(session, texts=chosen):
        for judgement in current_judgements(judgements):
            labels |= judgement.asserted
    return labels


def text_of_week(home: Context, week: date, place: int) -> store.NormingText | None:
    """The text at a place of a week; None: there is none."""
    with open_session(home.engine) as session:
        return session.get(store.NormingText, (week, place))


def votes_of(session: Session, text_id: uuid.UUID) -> Sequence[store.NormingVote]:
    """The blind answers to a text, in an order that tells nothing."""
    v = store.NormingVote
    return session.scalars(select(v).where(v.text_id == text_id).order_by(v.id)).all()


def counts_of(votes: Sequence[store.NormingVote]) -> Counts:
    """Blind answers, added up."""
    labels = Counter(label for given in votes for label in given.labels)
    kinds = Counter(given.kind for given in votes)
    return Counts(
        len(votes),
        sorted(labels.items(), key=lambda item: (-item[1], item[0])),
        kinds[AnswerKind.NONE],
        kinds[AnswerKind.UNDECIDED],
    )


def reasons_of(votes: Sequence[store.NormingVote]) -> list[Words]:
    """The reasons among blind answers, in an order that tells neither when they were given nor by whom."""
    return [Words(given.id, given.reason) for given in votes if given.reason]


def answer_of(home: Context, session: Session, text_id: uuid.UUID) -> Answer | None:
    """The settled answer of a text; None: no reviewer settled it, or they took it back."""
    state = read_state(session, home.taxonomy, text_id)
    settled = state.settled_labels()
    reviewers = [judgement.id for judgement in state.standing if judgement.rater.adjudicates]
    if not settled or not reviewers:
        return None
    newest = session.get_one(store.Judgement, max(reviewers))
    reason = Reason.of_explanation(newest.explanation)
    return Answer(
        tuple(key for key in home.taxonomy.keys if key in settled and state.decisions[key].value is True),
        tuple(key for key in home.taxonomy.keys if key in settled and state.decisions[key].value is False),
        reason.ground if reason is not None and reason.ground is not Ground.OTHER else None,
        newest.created_at,
    )
