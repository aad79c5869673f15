"""Changes that accounts made to annotations of others, and a maintainer's decisions on deletions."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.ledger.book import NewJudgement, record
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState, Decision, InterventionKind
from sync.pull.apply import reference


@dataclass(frozen=True, slots=True)
class Interventions:
    """Numbers of what one account did to annotations of others."""

    #: Label Studio user id; None: the server does not tell whose they were
    actor: str | None
    #: annotations that it made in another's name, or changed before they were first pulled
    written: int
    changed: int
    #: deletions, whatever was decided on them
    deleted: int
    #: deletions that wait for a decision
    waiting: int


@dataclass(frozen=True, slots=True)
class HeldDeletion:
    """A deletion by somebody else than the annotation's rater. The judgement counts until a maintainer agrees."""

    #: number to name it by
    id: int
    project: str
    #: Label Studio's id of the task
    task: int
    text_id: uuid.UUID
    labels: tuple[str, ...]
    #: Label Studio user ids
    rater: str
    actor: str | None
    noted_at: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """Numbers of decisions, and of judgements that were withdrawn by them."""

    decided: int
    withdrawn: int


def interventions(session: Session, *, project: int | None = None) -> tuple[Interventions, ...]:
    """Count what each account did to annotations of others, most first.

    Args:
        session: an open session.
        project: our own id of the project; None: all.
    """
    i = store.Intervention
    query = select(i.actor, i.kind, i.decision)
    if project is not None:
        query = query.where(i.project_id == project)
    counts: dict[str | None, Counter[str]] = {}
    for actor, kind, decision in session.execute(query):
        own = counts.setdefault(actor, Counter())
        own[kind] += 1
        own["waiting"] += kind is InterventionKind.DELETED and decision is None
    return tuple(
        Interventions(actor, own["written"], own["changed"], own["deleted"], own["waiting"])
        for actor, own in sorted(counts.items(), key=lambda item: (-item[1].total(), item[0] or ""))
    )


def held_deletions(session: Session) -> list[HeldDeletion]:
    """Deletions that wait for a decision, oldest first."""
    i, a, p = store.Intervention, store.Annotation, store.Project
    query = (
        select(i, a, p.title)
        .join(
            a,
            (a.project_id == i.project_id)
            & (a.label_studio_id == i.label_studio_id)
            & (a.created_at == i.annotation_created_at),
        )
        .join(p, p.id == i.project_id)
        .where(i.kind == InterventionKind.DELETED, i.decision.is_(None), a.state == AnnotationState.HELD)
        .order_by(i.id)
    )
    return [
        HeldDeletion(
            deletion.id,
            title,
            noted.task_id,
            noted.text_id,
            tuple(noted.chosen),
            deletion.rater,
            deletion.actor,
            deletion.noted_at,
        )
        for deletion, noted, title in session.execute(query)
    ]


def decide(
    engine: Engine, numbers: Sequence[int] | None, decision: Decision, *, taxonomy_version: str, now: datetime
) -> Decided:
    """Decide on held deletions: agree withdraws the judgements, refuse lets them count for good.

    Args:
        engine: the store.
        numbers: `HeldDeletion.id` of each; None: all that wait.
        decision: the decision.
        taxonomy_version: version of the taxonomy, for the ledger.
        now: for the record.

    Raises:
        UsageError: a number is none of a deletion that waits.
    """
    with open_session(engine) as session, session.begin():
        waiting = {deletion.id for deletion in held_deletions(session)}
        unknown = sorted(set(numbers or ()) - waiting)
        if unknown:
            raise UsageError(f"no deletion {unknown[0]} waits for a decision: see `saring sync deletions`")
        withdrawn = 0
        chosen = sorted(waiting if numbers is None else set(numbers))
        for number in chosen:
            deletion = session.get_one(store.Intervention, number)
            deletion.decision, deletion.decided_at = decision, now
            if decision is Decision.AGREED:
                withdrawn += _withdraw(session, deletion, taxonomy_version)
        return Decided(len(chosen), withdrawn)


def _withdraw(session: Session, deletion: store.Intervention, taxonomy_version: str) -> int:
    key = (deletion.project_id, deletion.label_studio_id, deletion.annotation_created_at)
    noted = session.get_one(store.Annotation, key)
    noted.state = AnnotationState.DELETED
    verdict = NewJudgement(noted.text_id, external_ref=reference(*key), withdrawn=True)
    return record(session, noted.rater_id, [verdict], taxonomy_version=taxonomy_version).revised
