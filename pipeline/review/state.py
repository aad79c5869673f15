"""The present state of one text before a reviewer: its judgements, what is decided, and what is still in question."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Decision, Judgement
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.consensus.rule import Consensus
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.resolve import current_judgements, resolve
from pipeline.review.disputes import Found, disputes_of, fingerprint
from pipeline.review.reasons import Why
from pipeline.store.tables.human_loop import AnnotationState
from pipeline.store.tables.review import DisputeKind
from pipeline.taxonomy import Taxonomy

#: kinds of disputes that the judgements alone show
FROM_VOTES = (DisputeKind.DISAGREEMENT, DisputeKind.UNDECIDED)


@dataclass(frozen=True, slots=True)
class TextState:
    """One text as the ledger has it."""

    text_id: uuid.UUID
    #: of raters that are not excluded
    judgements: Sequence[Judgement]
    #: labels of the taxonomy
    decisions: Mapping[str, Decision]
    #: people who could not decide
    undecided: int
    #: hash of the votes that count
    fingerprint: str

    @property
    def standing(self) -> list[Judgement]:
        """The judgements that count."""
        return current_judgements(self.judgements)

    def settled_labels(self) -> frozenset[str]:
        """Labels that a reviewer decided."""
        reviewers = {judgement.id for judgement in self.standing if judgement.rater.adjudicates}
        return frozenset(label for label, d in self.decisions.items() if reviewers & set(d.judgements))


def read_state(
    session: Session, taxonomy: Taxonomy, text_id: uuid.UUID, *, consensus: Consensus | None = None
) -> TextState:
    """Read the state of a text; without judgements, an empty one.

    Args:
        session: an open session.
        taxonomy: the labels, and which of them exclude each other.
        text_id: the text.
        consensus: the consensus in force; None: it is read.
    """
    chosen = select(store.Text.id).where(store.Text.id == text_id)
    piles = dict(judgements_by_text(session, texts=chosen))
    return state_of(
        text_id,
        piles.get(text_id, []),
        taxonomy,
        consensus or current_consensus(session),
        undecided_counts(session, [text_id]).get(text_id, 0),
    )


def state_of(
    text_id: uuid.UUID,
    judgements: Sequence[Judgement],
    taxonomy: Taxonomy,
    consensus: Consensus | None,
    undecided: int,
) -> TextState:
    """The state that these judgements make. Pure."""
    resolved = resolve(judgements, excludes=taxonomy.excludes, consensus=consensus)
    decisions = {label: decision for label, decision in resolved.items() if label in taxonomy}
    return TextState(text_id, judgements, decisions, undecided, fingerprint(judgements))


def undecided_counts(session: Session, ids: Sequence[uuid.UUID] | None = None) -> dict[uuid.UUID, int]:
    """The number of people who could not decide, of each text that has such; of the texts in `ids`, or of all."""
    a, r = store.Annotation, store.Rater
    query = (
        select(a.text_id, func.count(a.rater_id.distinct()))
        .join(r, r.id == a.rater_id)
        .where(a.state == AnnotationState.UNDECIDED, r.excluded_at.is_(None))
        .group_by(a.text_id)
    )
    if ids is not None:
        query = query.where(a.text_id == func.any(list(ids)))
    return dict(session.execute(query).all())


def in_question(state: TextState, taxonomy: Taxonomy) -> list[Found]:
    """The disputes that the votes on a text show now."""
    return disputes_of(state.text_id, state.judgements, state.decisions, taxonomy.excludes, undecided=state.undecided)


def still_doubted(state: TextState, why: Sequence[Why]) -> tuple[Why, ...]:
    """The doubts that still hold: the label has the answer that was doubted, and no reviewer decided it."""
    settled = state.settled_labels()
    return tuple(
        reason
        for reason in why
        if (label := reason.values["label"]) not in settled
        and label in state.decisions
        and state.decisions[label].value is (reason.values["given"] == "yes")
    )


def labels_of(why: Sequence[Why]) -> tuple[str, ...]:
    """The labels that reasons speak of, each once."""
    return tuple(dict.fromkeys(str(reason.values["label"]) for reason in why if reason.values.get("label")))


def still_open(kind: DisputeKind, state: TextState, why: Sequence[Why]) -> tuple[Why, ...]:
    """The reasons of a dispute that votes alone do not show, as far as they still hold."""
    if kind is not DisputeKind.APPEAL:
        return still_doubted(state, why)
    # an appeal waits for a reviewer, whatever others say
    newest = max((j.id for j in state.standing if j.rater.adjudicates), default=0)
    return tuple(reason for reason in why if int(reason.values["judgement"]) > newest)


def refresh_text(session: Session, taxonomy: Taxonomy, state: TextState) -> set[DisputeKind]:
    """Bring the waiting disputes of a text up to date; return their kinds.

    Disputes that are no more are removed, new ones are added, and others get the present reasons.
    """
    d = store.Dispute
    now = {dispute.kind: dispute for dispute in in_question(state, taxonomy)}
    rows = session.scalars(select(d).where(d.text_id == state.text_id, d.settled_by.is_(None))).all()
    for row in rows:
        if row.kind in FROM_VOTES:
            continue
        doubts = still_open(row.kind, state, [Why.of_stored(reason) for reason in row.why])
        if doubts:
            now[row.kind] = Found(state.text_id, row.kind, labels_of(doubts), doubts, row.value)
    gone = [row.kind for row in rows if row.kind not in now]
    if gone:
        session.execute(delete(d).where(d.text_id == state.text_id, d.kind.in_(gone), d.settled_by.is_(None)))
    before = {row.kind: (tuple(row.labels), row.why) for row in rows}
    changed = [
        dispute
        for kind, dispute in now.items()
        if before.get(kind) != (dispute.labels, [reason.stored() for reason in dispute.why])
    ]
    write_found(session, changed)
    return set(now)


def write_found(session: Session, disputes: Sequence[Found]) -> None:
    """Write disputes as waiting ones, in place of rows of the same text and kind."""
    if not disputes:
        return
    d = store.Dispute
    rows = [
        {
            "text_id": dispute.text_id,
            "kind": dispute.kind,
            "labels": list(dispute.labels),
            "why": [reason.stored() for reason in dispute.why],
            "value": dispute.value,
        }
        for dispute in sorted(disputes, key=lambda dispute: (dispute.text_id, dispute.kind))
    ]
    fresh = insert(d)
    session.execute(
        fresh.on_conflict_do_update(
            index_elements=[d.text_id, d.kind],
            set_={
                "labels": fresh.excluded.labels,
                "why": fresh.excluded.why,
                "value": fresh.excluded.value,
                "settled_by": None,
                "settled_at": None,
            },
        ),
        rows,
    )
