"""The texts before a reviewer, one at a time: the next one, with all votes side by side."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, cast, exists, func, select
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Decision, Judgement, RaterRef
from pipeline.review.leases import Held, held_by_other, lease
from pipeline.review.reasons import Reason, Why
from pipeline.review.reviewer import Reviewer
from pipeline.review.state import TextState, read_state, refresh_text
from pipeline.store.tables.review import DisputeKind
from pipeline.taxonomy import Taxonomy

#: texts of the list that are looked at, at once
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Vote:
    """One judgement that counts, with what a reviewer needs to weigh it."""

    judgement: int
    rater: RaterRef
    asserted: frozenset[str]
    denied: frozenset[str]
    #: asserted labels that a filter rejected
    demoted: frozenset[str]
    scores: Mapping[str, float]
    explanation: str | None
    taxonomy_version: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """A text before a reviewer."""

    text_id: uuid.UUID
    kind: DisputeKind
    #: the text with personal data masked
    text: str
    language: str | None
    #: somebody gave it a label for something harmful
    harsh: bool
    #: the labels in question; empty: the whole text
    labels: tuple[str, ...]
    why: tuple[Why, ...]
    value: float
    votes: tuple[Vote, ...]
    decisions: Mapping[str, Decision]
    #: people who could not decide
    undecided: int
    #: hash of the votes, to be given back with the settlement
    fingerprint: str
    #: another reviewer who has it before them
    held: Held | None = None
    #: False: it was settled, or is no dispute any more
    waiting: bool = True

    @property
    def place(self) -> Place:
        """Its place in the list."""
        return Place(self.value, self.text_id)

    @property
    def settlements(self) -> list[tuple[Vote, Reason | None]]:
        """The settlements that count, oldest first."""
        return [
            (vote, Reason.of_explanation(vote.explanation))
            for vote in sorted(self.votes, key=lambda vote: vote.judgement)
            if vote.rater.adjudicates
        ]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list of one kind: the next text comes after it."""

    value: float
    text_id: uuid.UUID


def next_item(
    session: Session,
    taxonomy: Taxonomy,
    kind: DisputeKind,
    reviewer: Reviewer,
    now: datetime,
    *,
    after: Place | None = None,
    without: Sequence[uuid.UUID] = (),
) -> Item | None:
    """The most valuable text that waits, and keep it for the reviewer; None if there is none.

    Texts that another reviewer has before them are passed over, and texts that the reviewer voted on (unless they are
    the only one). A text that is no dispute any more is taken off the list.

    Args:
        session: an open transaction.
        taxonomy: the labels.
        kind: the list.
        reviewer: who is to settle it.
        now: the present.
        after: the place after which to look; None: from the top.
        without: texts to pass over: those that the reviewer has already.
    """
    d, kept = store.Dispute, store.ReviewLease
    place = after
    while True:
        query = (
            select(d.value, d.text_id)
            .where(d.kind == kind, d.settled_by.is_(None), d.text_id.not_in(list(without)))
            .where(~exists().where(kept.text_id == d.text_id, kept.holder != reviewer.account, kept.until > now))
            .order_by(d.value.desc(), d.text_id)
            .limit(_AT_ONCE)
        )
        own = reviewer.passed_over
        if own is not None:
            query = query.where(~_voted(own))
        if place is not None:
            # The column holds single precision, and the number that was read from it is not quite the same.
            value = cast(place.value, REAL)
            query = query.where((d.value < value) | ((d.value == value) & (d.text_id > place.text_id)))
        rows = session.execute(query).all()
        for worth, text_id in rows:
            place = Place(worth, text_id)
            state = read_state(session, taxonomy, text_id)
            if kind not in refresh_text(session, taxonomy, state):
                continue
            if lease(session, text_id, reviewer, now) is None:
                return _item(session, taxonomy, state, kind)
        if len(rows) < _AT_ONCE:
            return None


def read_item(
    session: Session,
    taxonomy: Taxonomy,
    text_id: uuid.UUID,
    kind: DisputeKind | None,
    reviewer: Reviewer,
    now: datetime,
) -> Item | None:
    """One text as it is now, whether it still waits or not; None: it was never in dispute.

    Args:
        session: an open transaction.
        taxonomy: the labels.
        text_id: the text.
        kind: the list; None: whichever has it.
        reviewer: who looks: it is kept for them if nobody else has it.
        now: the present.
    """
    d = store.Dispute
    rows = session.scalars(select(d).where(d.text_id == text_id).order_by(d.settled_by.is_not(None), d.kind)).all()
    row = next((row for row in rows if kind is None or row.kind is kind), None)
    if row is None:
        return None
    chosen = DisputeKind(row.kind)
    state = read_state(session, taxonomy, text_id)
    waiting = row.settled_by is None and chosen in refresh_text(session, taxonomy, state)
    held = lease(session, text_id, reviewer, now) if waiting else held_by_other(session, text_id, reviewer, now)
    session.expire_all()
    known = session.get(store.Dispute, (text_id, chosen))
    return _item(session, taxonomy, state, chosen, row=known or row, held=held, waiting=waiting)


def _item(
    session: Session,
    taxonomy: Taxonomy,
    state: TextState,
    kind: DisputeKind,
    *,
    row: store.Dispute | None = None,
    held: Held | None = None,
    waiting: bool = True,
) -> Item:
    dispute = row or session.get_one(store.Dispute, (state.text_id, kind), populate_existing=True)
    text = session.get_one(store.Text, state.text_id)
    harmful = set(taxonomy.harmful)
    votes = read_votes(session, state.standing)
    return Item(
        text_id=state.text_id,
        kind=kind,
        text=text.masked,
        language=text.language,
        harsh=any(vote.asserted & harmful for vote in votes),
        labels=tuple(dispute.labels),
        why=tuple(Why.of_stored(reason) for reason in dispute.why),
        value=dispute.value,
        votes=votes,
        decisions=state.decisions,
        undecided=state.undecided,
        fingerprint=state.fingerprint,
        held=held,
        waiting=waiting,
    )


def read_votes(session: Session, judgements: Sequence[Judgement]) -> tuple[Vote, ...]:
    """The judgements with their explanation, version of the taxonomy and time, people first."""
    j = store.Judgement
    rows = session.execute(
        select(j.id, j.explanation, j.taxonomy_version, j.created_at).where(
            j.id == func.any([judgement.id for judgement in judgements])
        )
    )
    more = {row[0]: row for row in rows}
    order = {"human": 0, "external": 1, "llm": 2}
    return tuple(
        Vote(
            judgement.id,
            judgement.rater,
            judgement.asserted,
            judgement.denied,
            judgement.demoted,
            judgement.scores,
            more[judgement.id][1],
            more[judgement.id][2],
            more[judgement.id][3],
        )
        for judgement in sorted(
            judgements, key=lambda judgement: (order.get(judgement.rater.kind, 3), judgement.rater, judgement.id)
        )
    )


def _voted(own: RaterRef) -> ColumnElement[bool]:
    d, j, r = store.Dispute, store.Judgement, store.Rater
    return exists().where(
        j.text_id == d.text_id, j.rater_id == r.id, r.kind == own.kind, r.name == own.name, r.version == own.version
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """A text that waits for a reviewer, in a list."""

    text_id: uuid.UUID
    kind: DisputeKind
    text: str
    #: somebody gave it a label for something harmful
    harsh: bool
    labels: tuple[str, ...]
    why: tuple[Why, ...]
    value: float


def list_items(session: Session, taxonomy: Taxonomy, kind: DisputeKind | None, limit: int) -> list[Listed]:
    """The most valuable texts that wait, of one kind or of all; nothing is kept for anybody.

    Args:
        session: an open session.
        taxonomy: the labels.
        kind: the list; None: all.
        limit: largest number of texts.
    """
    d, t, j = store.Dispute, store.Text, store.Judgement
    harsh = exists().where(j.text_id == d.text_id, j.asserted.overlap(list(taxonomy.harmful)))
    query = select(d, t.masked, harsh).join(t, t.id == d.text_id).where(d.settled_by.is_(None))
    if kind is not None:
        query = query.where(d.kind == kind)
    return [
        Listed(
            row.text_id,
            DisputeKind(row.kind),
            masked,
            bool(is_harsh),
            tuple(row.labels),
            tuple(Why.of_stored(reason) for reason in row.why),
            row.value,
        )
        for row, masked, is_harsh in session.execute(query.order_by(d.value.desc(), d.text_id).limit(limit))
    ]
