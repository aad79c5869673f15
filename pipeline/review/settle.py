"""Settle a text, and undo it. A settlement is a judgement of the reviewer, and the ledger only ever grows."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session, aliased

from pipeline import store
from pipeline.errors import ReviewChanged, ReviewError, UsageError
from pipeline.judgement import Decision
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.review.disputes import Found
from pipeline.review.find import text_lock
from pipeline.review.leases import release
from pipeline.review.reasons import Reason, Why
from pipeline.review.reviewer import Reviewer
from pipeline.review.state import (
    FROM_VOTES,
    TextState,
    in_question,
    labels_of,
    read_state,
    refresh_text,
    still_open,
    write_found,
)
from pipeline.store import locks
from pipeline.store.tables.review import DisputeKind
from pipeline.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Settled:
    """A settlement that stands."""

    text_id: uuid.UUID
    judgement: int
    #: True: the same settlement had been made already
    repeated: bool
    #: kinds of disputes on which the text no longer waits
    kinds: tuple[DisputeKind, ...]
    #: kinds on which it still waits
    remaining: tuple[DisputeKind, ...]
    decisions: Mapping[str, Decision]


@dataclass(frozen=True, slots=True)
class Undone:
    """A settlement that was withdrawn."""

    text_id: uuid.UUID
    #: kinds of disputes on which the text waits again
    kinds: tuple[DisputeKind, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """A settlement of a reviewer, with the reason why the text was before them."""

    text_id: uuid.UUID
    judgement: int
    asserted: tuple[str, ...]
    denied: tuple[str, ...]
    reason: Reason | None
    at: datetime
    #: the kinds of disputes that it settled, each with its reasons
    why: Mapping[DisputeKind, tuple[Why, ...]]


def check_marks(taxonomy: Taxonomy, yes: Set[str], no: Set[str]) -> None:
    """Check that marks can be a judgement.

    Raises:
        UsageError: there is none, one is no label or has two values, or two labels exclude each other.
    """
    if not yes and not no:
        raise UsageError("nothing is marked: say yes or no to at least one label")
    unknown = sorted(key for key in (*yes, *no) if key not in taxonomy)
    if unknown:
        raise UsageError(f"there is no label {unknown[0]!r}: the labels are {', '.join(taxonomy.keys)}")
    if yes & no:
        raise UsageError(f"{min(yes & no)!r} is marked yes and no at once: choose one")
    for label in sorted(yes):
        others = sorted(taxonomy.excludes[label] & yes)
        if others:
            raise UsageError(f"a text cannot be both {label!r} and {others[0]!r}: take one of them back")


def settle(
    session: Session,
    taxonomy: Taxonomy,
    text_id: uuid.UUID,
    reviewer: Reviewer,
    *,
    yes: Set[str],
    no: Set[str],
    reason: Reason,
    shown: str | None,
) -> Settled:
    """Record a reviewer's settlement of a text.

    Labels that are marked neither yes nor no stay as other raters leave them. A new settlement of the same reviewer
    replaces their earlier one. Made twice, it is recorded once.

    Args:
        session: an open transaction.
        taxonomy: the labels.
        text_id: the text.
        reviewer: who settles it.
        yes: labels that the text has.
        no: labels that it has not.
        reason: why.
        shown: fingerprint of the votes that the reviewer saw; None: whatever the votes are.

    Raises:
        UsageError: the marks cannot be a judgement.
        ReviewChanged: the votes changed since the reviewer saw them.
        ReviewError: there is no such text, or the dispute is about the reviewer's own vote.
    """
    check_marks(taxonomy, yes, no)
    locks.take(session, text_lock(text_id))
    if session.get(store.Text, text_id) is None:
        raise ReviewError("there is no such text in the store")
    before = read_state(session, taxonomy, text_id)
    if reviewer.passed_over is not None and any(j.rater == reviewer.passed_over for j in before.standing):
        raise ReviewError("you voted on this text yourself: another reviewer settles it")
    reference = f"review:{shown or before.fingerprint}"
    rater = rater_id(session, reviewer.rater)
    repeated = _last(session, rater, text_id, reference, yes, no)
    if repeated is None:
        if shown is not None and shown != before.fingerprint:
            raise ReviewChanged(_what_changed(before, reviewer))
        record(
            session,
            rater,
            [NewJudgement(text_id, frozenset(yes), frozenset(no), {}, reason.explanation, reference)],
            taxonomy_version=taxonomy.version,
        )
    judgement = repeated or _newest(session, rater, text_id, reference)
    state = read_state(session, taxonomy, text_id)
    closed, remaining = _close(session, state, taxonomy, judgement)
    release(session, text_id, reviewer)
    return Settled(text_id, judgement, repeated is not None, closed, remaining, state.decisions)


def undo(session: Session, taxonomy: Taxonomy, reviewer: Reviewer) -> Undone | None:
    """Withdraw the reviewer's last settlement that stands; None: there is none. The text waits again.

    Args:
        session: an open transaction.
        taxonomy: the labels.
        reviewer: whose settlement.
    """
    settlement = session.scalars(_standing(reviewer).limit(1)).first()
    if settlement is None:
        return None
    text_id, judgement, reference = settlement.text_id, settlement.id, settlement.external_ref
    locks.take(session, text_lock(text_id))
    record(
        session,
        settlement.rater_id,
        [NewJudgement(text_id, external_ref=reference, withdrawn=True)],
        taxonomy_version=taxonomy.version,
    )
    d = store.Dispute
    session.execute(update(d).where(d.settled_by == judgement).values(settled_by=None, settled_at=None))
    kinds = refresh_text(session, taxonomy, read_state(session, taxonomy, text_id))
    return Undone(text_id, tuple(sorted(kinds)))


def settled_lately(session: Session, reviewer: Reviewer, limit: int = 20) -> list[Done]:
    """The reviewer's last settlements that stand, newest first, each with why the text was there."""
    rows = session.scalars(_standing(reviewer).limit(limit)).all()
    d = store.Dispute
    why: dict[int, dict[DisputeKind, tuple[Why, ...]]] = {}
    for dispute in session.scalars(select(d).where(d.settled_by.in_([row.id for row in rows]))):
        reasons = tuple(Why.of_stored(reason) for reason in dispute.why)
        why.setdefault(dispute.settled_by or 0, {})[DisputeKind(dispute.kind)] = reasons
    return [
        Done(
            row.text_id,
            row.id,
            tuple(row.asserted),
            tuple(row.denied),
            Reason.of_explanation(row.explanation),
            row.created_at,
            why.get(row.id, {}),
        )
        for row in rows
    ]


def _standing(reviewer: Reviewer) -> Select[store.Judgement]:
    """A query of the reviewer's settlements that are neither undone nor revised, newest first."""
    j, r, later, ref = store.Judgement, store.Rater, aliased(store.Judgement), reviewer.rater
    # one number, and the order of the index that begins with it: otherwise the whole ledger is read backwards
    rater = select(r.id).where(r.kind == ref.kind, r.name == ref.name, r.version == ref.version).scalar_subquery()
    return (
        select(j)
        .where(j.rater_id == rater, ~j.withdrawn)
        .where(~select(later.id).where(later.supersedes == j.id).exists())
        .order_by(j.created_at.desc(), j.id.desc())
    )


def _last(session: Session, rater: int, text_id: uuid.UUID, reference: str, yes: Set[str], no: Set[str]) -> int | None:
    """The judgement that is the very same settlement; None: there is none."""
    j = store.Judgement
    row = session.scalars(
        select(j)
        .where(j.rater_id == rater, j.text_id == text_id, j.external_ref == reference)
        .order_by(j.revision.desc())
        .limit(1)
    ).first()
    same = row is not None and not row.withdrawn and (set(row.asserted), set(row.denied)) == (yes, no)
    return row.id if row is not None and same else None


def _newest(session: Session, rater: int, text_id: uuid.UUID, reference: str) -> int:
    j = store.Judgement
    return session.scalars(
        select(j.id)
        .where(j.rater_id == rater, j.text_id == text_id, j.external_ref == reference)
        .order_by(j.revision.desc())
        .limit(1)
    ).one()


def _close(
    session: Session, state: TextState, taxonomy: Taxonomy, judgement: int
) -> tuple[tuple[DisputeKind, ...], tuple[DisputeKind, ...]]:
    """Mark as settled the disputes of which nothing is left, and keep the rest; the kinds of both."""
    d = store.Dispute
    waiting = select(d.kind, d.value, d.why).where(d.text_id == state.text_id, d.settled_by.is_(None))
    rows = {DisputeKind(kind): (value, why) for kind, value, why in session.execute(waiting)}
    left = {dispute.kind: dispute for dispute in in_question(state, taxonomy) if dispute.kind in rows}
    for kind in rows.keys() - set(FROM_VOTES):
        value, why = rows[kind]
        doubts = still_open(kind, state, [Why.of_stored(reason) for reason in why])
        if doubts:
            left[kind] = Found(state.text_id, kind, labels_of(doubts), doubts, value)
    closed = sorted(rows.keys() - left.keys())
    write_found(session, list(left.values()))
    session.execute(
        update(d)
        .where(d.text_id == state.text_id, d.kind.in_(closed))
        .values(settled_by=judgement, settled_at=func.now())
    )
    return tuple(closed), tuple(sorted(left))


def _what_changed(state: TextState, reviewer: Reviewer) -> str:
    """A message for a reviewer whose page is out of date."""
    others = [j.rater.version for j in state.standing if j.rater.adjudicates and j.rater != reviewer.rater]
    if others:
        return "another reviewer settled this text while you had it before you: look at what they settled"
    return "the votes on this text changed since it was shown to you: look at it again"
