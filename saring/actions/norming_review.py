"""Norming as maintainers see it: who took part, what was said, without names, the settled answer and its note."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.ledger.resolve import opinions
from pipeline.review.settle import Settled
from pipeline.review.state import read_state
from pipeline.store.session import open_session
from saring.actions import review
from saring.actions.norming import (
    Answer,
    Counts,
    Words,
    answer_of,
    choose,
    counts_of,
    reasons_of,
    text_of_week,
    tidied,
    votes_of,
)
from saring.context import Context
from sync.quality.divided import monday
from sync.quality.truth import is_volunteer

#: characters of a note on the guidelines
LONGEST_NOTE = 1_000


@dataclass(frozen=True, slots=True)
class Watched:
    """A text of a week, for maintainers."""

    place: int
    text_id: uuid.UUID
    text: str
    removed: bool
    #: labels on which people were divided, each with how many say yes and how many no in the ledger now
    divided: Sequence[tuple[str, int, int]]
    counts: Counts
    reasons: Sequence[Words]
    answer: Answer | None
    note: str | None


@dataclass(frozen=True, slots=True)
class WatchedWeek:
    """A week, for maintainers."""

    week: date
    texts: Sequence[Watched]
    #: names of those who answered at least one text; which answer is whose is not told
    people: Sequence[str]


def watched(home: Context, week: date, *, now: datetime | None = None) -> WatchedWeek:
    """A week, for maintainers: the texts with what was said of each, and who took part.

    Args:
        home: the home with the store.
        week: its Monday.
        now: the moment; None: the present.
    """
    at = now or datetime.now(UTC)
    if week == monday(at):
        choose(home, week, at)
    n, v, a = store.NormingText, store.NormingVote, store.Account
    with open_session(home.engine) as session:
        rows = session.scalars(select(n).where(n.week == week).order_by(n.place)).all()
        people = (
            select(a.name)
            .where(a.id.in_(select(v.account_id).join(n, n.text_id == v.text_id).where(n.week == week)))
            .order_by(func.lower(a.name))
        )
        return WatchedWeek(week, [_watched(home, session, row) for row in rows], list(session.scalars(people)))


def remove_words(home: Context, vote_id: uuid.UUID) -> bool:
    """Remove the words of a reason, which names somebody or hurts; False: there are none."""
    v = store.NormingVote
    with home.begin() as session:
        removed = update(v).where(v.id == vote_id, v.reason != "").values(reason="").returning(v.id)
        return session.scalar(removed) is not None


def note(home: Context, week: date, place: int, words: str, *, now: datetime | None = None) -> None:
    """Keep what the answer of a text changes in the guidelines, for volunteers to read; empty words remove it.

    Raises:
        UsageError: there is no such text, or there are too many words.
    """
    kept = tidied(words, LONGEST_NOTE)
    n = store.NormingText
    values = {"note": kept or None, "noted_at": now or datetime.now(UTC)}
    with home.begin() as session:
        changed = update(n).where(n.week == week, n.place == place).values(values).returning(n.place)
        if session.scalar(changed) is None:
            raise UsageError(f"the week of {week} has no text {place}")


def settle(
    home: Context, account: int, week: date, place: int, *, yes: Sequence[str], no: Sequence[str], ground: str
) -> Settled:
    """Settle a text of a week, as at `/review`: it becomes a judgement of the reviewer.

    Args:
        home: the home with the store.
        account: the reviewer's account.
        week: the Monday of the text's week.
        place: of the text in its week, from 1.
        yes: keys of the labels that it has.
        no: keys of the labels that it has not.
        ground: the reason, by its code (`pipeline.review.reasons.Ground`).

    Raises:
        UsageError: there is no such text, no reason, or the marks cannot be a judgement.
        ReviewError: the reviewer may not settle it.
    """
    row = text_of_week(home, week, place)
    if row is None:
        raise UsageError(f"the week of {week} has no text {place}")
    reviewer = review.reviewer_of(home, account)
    return review.settle(home, row.text_id, reviewer, yes=yes, no=no, ground=ground or None)


def _watched(home: Context, session: Session, row: store.NormingText) -> Watched:
    text = session.get_one(store.Text, row.text_id)
    votes = votes_of(session, row.text_id)
    standing = read_state(session, home.taxonomy, row.text_id).standing
    said_by = [opinions(j, home.taxonomy.excludes) for j in standing if is_volunteer(j.rater)]
    counts = [
        (label, sum(label in yes for yes, _ in said_by), sum(label in no for _, no in said_by))
        for label in row.labels
        if label in home.taxonomy
    ]
    return Watched(
        row.place,
        row.text_id,
        text.masked,
        not text.in_scope,
        counts,
        counts_of(votes),
        reasons_of(votes),
        answer_of(home, session, row.text_id),
        row.note,
    )
