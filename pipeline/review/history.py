"""The whole history of one text: where it was seen, who judged it, what filters and the queue did, how it resolved."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Decision, RaterKind, RaterRef
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.resolve import FILTERED_KINDS
from pipeline.review.reasons import Reason, Why
from pipeline.review.resolution import why_decided
from pipeline.review.state import read_state
from pipeline.store.tables.review import DisputeKind
from pipeline.taxonomy import Taxonomy

#: rows of one part of the history, the newest ones
_MOST = 500


class Standing(enum.StrEnum):
    """The state of a judgement: it counts, or why it does not."""

    COUNTS = "counts"
    #: its rater took it back
    WITHDRAWN = "withdrawn"
    #: its rater changed it, or a later judgement of the same rater counts
    REPLACED = "replaced"
    #: its rater is excluded
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One row of a source that had the text."""

    source: str
    split: str | None
    run_id: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Said:
    """One judgement of the ledger."""

    judgement: int
    rater: RaterRef
    #: facts about the rater: its model, its prices
    details: Mapping[str, Any]
    at: datetime
    asserted: tuple[str, ...]
    denied: tuple[str, ...]
    #: asserted labels that a filter rejected
    demoted: tuple[str, ...]
    scores: Mapping[str, float]
    explanation: str | None
    #: of a settlement
    reason: Reason | None
    taxonomy_version: str
    run_id: int | None
    stage: str | None
    standing: Standing
    #: True: this row takes the judgement back
    withdraws: bool
    #: labels whose decision rests on it
    decides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """The decision on one label, with the reason."""

    label: str
    decision: Decision
    why: Why


@dataclass(frozen=True, slots=True)
class Disputed:
    """A time that the text was before reviewers, or waits for them."""

    kind: DisputeKind
    labels: tuple[str, ...]
    why: tuple[Why, ...]
    at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """Everything about one text."""

    text_id: uuid.UUID
    text: str
    language: str | None
    in_scope: bool
    duplicate_of: uuid.UUID | None
    created_at: datetime
    #: somebody gave it a label for something harmful
    harsh: bool
    sightings: Sequence[Sighting]
    #: oldest first
    said: Sequence[Said]
    resolved: Sequence[Resolved]
    disputes: Sequence[Disputed]
    #: people who could not decide
    undecided: int
    filters: Sequence[store.FilterDecision]
    #: set aside by a stage for people to check
    set_aside: Sequence[store.Review]
    queued: Sequence[store.QueueItem]
    #: with the title of the project
    tasks: Sequence[tuple[store.Task, str]]
    #: with the title of the project, and the Label Studio user id
    annotations: Sequence[tuple[store.Annotation, str, str]]
    #: version of the frozen test set that it joined; None: it is no member
    test_set: int | None
    #: when its words were erased; None: they were not
    erased_at: datetime | None


def read_history(session: Session, taxonomy: Taxonomy, text_id: uuid.UUID) -> History | None:
    """Read the history of a text; None: there is no such text.

    Args:
        session: an open session.
        taxonomy: the labels, and which of them exclude each other.
        text_id: the text.
    """
    text = session.get(store.Text, text_id)
    if text is None:
        return None
    consensus = current_consensus(session)
    state = read_state(session, taxonomy, text_id, consensus=consensus)
    method = str(consensus.method) if consensus is not None else ""
    resolved = tuple(
        Resolved(
            label,
            state.decisions[label],
            why_decided(label, state.decisions[label], state, taxonomy.excludes, method=method),
        )
        for label in taxonomy.keys
        if label in state.decisions
    )
    filters = session.scalars(
        select(store.FilterDecision)
        .where(store.FilterDecision.text_id == text_id)
        .order_by(store.FilterDecision.label, store.FilterDecision.stage)
    ).all()
    decides = {
        i: tuple(entry.label for entry in resolved if i in entry.decision.judgements)
        for i in {i for entry in resolved for i in entry.decision.judgements}
    }
    judged = _said(session, text_id, {j.id for j in state.standing}, decides, {f.label for f in filters if not f.kept})
    harmful = set(taxonomy.harmful)
    return History(
        text_id=text_id,
        text=text.masked,
        language=text.language,
        in_scope=text.in_scope,
        duplicate_of=text.duplicate_of,
        created_at=text.created_at,
        harsh=any(set(entry.asserted) & harmful for entry in judged),
        sightings=_sightings(session, text_id),
        said=judged,
        resolved=resolved,
        disputes=_disputes(session, text_id),
        undecided=state.undecided,
        filters=filters,
        set_aside=session.scalars(select(store.Review).where(store.Review.text_id == text_id)).all(),
        queued=session.scalars(
            select(store.QueueItem).where(store.QueueItem.text_id == text_id).order_by(store.QueueItem.id).limit(_MOST)
        ).all(),
        tasks=[
            (row[0], row[1])
            for row in session.execute(
                select(store.Task, store.Project.title)
                .join(store.Project, store.Project.id == store.Task.project_id)
                .where(store.Task.text_id == text_id)
                .order_by(store.Task.created_at)
                .limit(_MOST)
            )
        ],
        annotations=_annotations(session, text_id),
        test_set=session.scalar(select(func.min(store.TestRow.version)).where(store.TestRow.text_id == text_id)),
        erased_at=erased.erased_at if (erased := session.get(store.ErasedText, text_id)) is not None else None,
    )


def _said(
    session: Session,
    text_id: uuid.UUID,
    counting: set[int],
    decides: Mapping[int, tuple[str, ...]],
    rejected: set[str],
) -> list[Said]:
    j, r, run = store.Judgement, store.Rater, store.Run
    rows = session.execute(
        select(j, r, run.stage)
        .join(r, r.id == j.rater_id)
        .outerjoin(run, run.id == j.run_id)
        .where(j.text_id == text_id)
        .order_by(j.id.desc())
        .limit(_MOST)
    ).all()
    last: dict[tuple[int, str], store.Judgement] = {}
    for judgement, _, _ in rows:
        last.setdefault((judgement.rater_id, judgement.external_ref), judgement)
    judged = []
    for judgement, rater, stage in reversed(rows):
        ref = RaterRef(RaterKind(rater.kind), rater.name, rater.version)
        if rater.excluded_at is not None:
            standing = Standing.EXCLUDED
        elif judgement.id in counting:
            standing = Standing.COUNTS
        else:
            taken_back = last[judgement.rater_id, judgement.external_ref].withdrawn
            standing = Standing.WITHDRAWN if taken_back else Standing.REPLACED
        judged.append(
            Said(
                judgement=judgement.id,
                rater=ref,
                details={key: value for key, value in rater.details.items() if isinstance(value, str | int | float)},
                at=judgement.created_at,
                asserted=tuple(judgement.asserted),
                denied=tuple(judgement.denied),
                demoted=tuple(sorted(set(judgement.asserted) & rejected)) if ref.kind in FILTERED_KINDS else (),
                scores=judgement.scores,
                explanation=judgement.explanation,
                reason=Reason.of_explanation(judgement.explanation) if ref.adjudicates else None,
                taxonomy_version=judgement.taxonomy_version,
                run_id=judgement.run_id,
                stage=stage,
                standing=standing,
                withdraws=judgement.withdrawn,
                decides=decides.get(judgement.id, ()),
            )
        )
    return judged


def _sightings(session: Session, text_id: uuid.UUID) -> list[Sighting]:
    seen, source, run = store.TextSource, store.Source, store.Run
    rows = session.execute(
        select(source.name, seen.split, seen.run_id, run.started_at)
        .join(source, source.id == seen.source_id)
        .outerjoin(run, run.id == seen.run_id)
        .where(seen.text_id == text_id)
        .order_by(seen.run_id, source.name)
        .limit(_MOST)
    )
    return [Sighting(*row) for row in rows]


def _disputes(session: Session, text_id: uuid.UUID) -> list[Disputed]:
    d = store.Dispute
    return [
        Disputed(
            DisputeKind(row.kind),
            tuple(row.labels),
            tuple(Why.of_stored(reason) for reason in row.why),
            row.created_at,
            row.settled_at,
        )
        for row in session.scalars(select(d).where(d.text_id == text_id).order_by(d.created_at, d.kind))
    ]


def _annotations(session: Session, text_id: uuid.UUID) -> list[tuple[store.Annotation, str, str]]:
    a, p, r = store.Annotation, store.Project, store.Rater
    rows = session.execute(
        select(a, p.title, r.version)
        .join(p, p.id == a.project_id)
        .join(r, r.id == a.rater_id)
        .where(a.text_id == text_id)
        .order_by(a.created_at)
        .limit(_MOST)
    )
    return [(row[0], row[1], row[2]) for row in rows]
