"""From the store to the table of answers, and to what volunteers met."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Judgement, RaterKind
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.resolve import current_judgements
from pipeline.store.tables.human_loop import AnnotationState, Change
from pipeline.taxonomy import Taxonomy
from sync.quality.answers import Answers
from sync.quality.care import Exposure
from sync.quality.rows import AnswerRow, Hidden, Rows
from sync.quality.truth import VOLUNTEERS, is_volunteer, known_without


@dataclass(frozen=True, slots=True)
class _Seen:
    """One annotation with what its task was."""

    project: int
    annotation: int
    text: uuid.UUID
    rater: str
    state: AnnotationState
    at: datetime
    seconds: float | None
    chosen: Sequence[str]
    predicted: Sequence[str] | None
    change: Change
    blind: bool
    planted: bool
    paired: bool
    harsh: bool
    cap: int


@dataclass(frozen=True, slots=True)
class Read:
    """The part of the store about volunteers' work."""

    answers: Answers
    exposures: tuple[Exposure, ...]
    #: for each volunteer, how many of their annotations are in each state
    states: Mapping[str, Mapping[str, int]]
    #: volunteers whose word is left out, and why
    excluded: Mapping[str, str]


def read_answers(
    session: Session, taxonomy: Taxonomy, *, project: int | None = None, since: datetime | None = None
) -> Read:
    """Read the volunteers' annotations and what the ledger makes of them.

    Args:
        session: an open session.
        taxonomy: its labels are the columns; which labels are benign decides what is harsh.
        project: keep to this project of ours.
        since: keep to annotations made at this moment or later.
    """
    seen = _seen(session, project, since)
    by_text: dict[uuid.UUID, list[_Seen]] = defaultdict(list)
    for annotation in seen:
        if annotation.state is AnnotationState.SUBMITTED:
            by_text[annotation.text].append(annotation)
    hidden = Hidden(session, project)
    rows = Rows(taxonomy)
    excluded = excluded_raters(session)
    # who was excluded is still measured, and is no measure for others
    for text, judgements in judgements_by_text(session, texts=_texts(project, since), excluded=True):
        standing = current_judgements(judgements)
        trusted = [j for j in judgements if not (is_volunteer(j.rater) and j.rater.version in excluded)]
        for annotation in by_text.get(text, ()):
            judgement = next((j for j in standing if is_volunteer(j.rater) and _is_of(j, annotation)), None)
            # only the last word of a rater on a text stands
            if judgement is not None:
                rows.add(_row(annotation, judgement, trusted, hidden, taxonomy))
    states: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for annotation in seen:
        states[annotation.rater][str(annotation.state)] += 1
    benign = {label.key for label in taxonomy if label.benign}
    exposures = tuple(
        Exposure(
            annotation.rater,
            annotation.at,
            annotation.seconds,
            annotation.harsh or bool(set(annotation.chosen) - benign),
            annotation.cap,
        )
        for annotation in seen
    )
    return Read(rows.table(), exposures, {rater: dict(counts) for rater, counts in states.items()}, excluded)


def excluded_raters(session: Session) -> dict[str, str]:
    """Volunteers whose word is left out of what is believed, and why."""
    r = store.Rater
    rows = session.execute(
        select(r.version, r.excluded_why).where(
            r.kind == RaterKind.HUMAN, r.name == VOLUNTEERS, r.excluded_at.is_not(None)
        )
    )
    return {rater: why or "" for rater, why in rows}


def _is_of(judgement: Judgement, annotation: _Seen) -> bool:
    return judgement.rater.version == annotation.rater and judgement.external_ref.startswith(
        f"ls:{annotation.project}:{annotation.annotation}:"
    )


def _seen(session: Session, project: int | None, since: datetime | None) -> list[_Seen]:
    a, t, r, p = store.Annotation, store.Task, store.Rater, store.Project
    query = (
        select(
            a.project_id,
            a.label_studio_id,
            a.text_id,
            r.version,
            a.state,
            a.created_at,
            a.lead_time,
            a.chosen,
            a.predicted,
            a.change,
            a.blind,
            t.gold,
            t.paired,
            t.harsh,
            p.harsh_cap,
        )
        .join(r, r.id == a.rater_id)
        .join(p, p.id == a.project_id)
        .outerjoin(t, (t.project_id == a.project_id) & (t.text_id == a.text_id))
        .where(r.kind == RaterKind.HUMAN, r.name == VOLUNTEERS)
        .order_by(a.created_at, a.project_id, a.label_studio_id)
    )
    rows: Any = session.execute(query.where(*_kept_to(project, since)))
    # a task that somebody made by hand is neither planted nor paired nor expected to be harsh
    return [_Seen(*(*row[:11], *map(bool, row[11:14]), row[14])) for row in rows]


def _row(
    annotation: _Seen, judgement: Judgement, judgements: Sequence[Judgement], hidden: Hidden, taxonomy: Taxonomy
) -> AnswerRow:
    known = known_without(
        judgements,
        judgement.rater,
        planted_in=annotation.project if annotation.planted else None,
        excludes=taxonomy.excludes,
    )
    return AnswerRow(
        rater=annotation.rater,
        text=annotation.text,
        said=dict.fromkeys(judgement.asserted, True) | dict.fromkeys(judgement.denied - judgement.asserted, False),
        truth=known.labels,
        of_data_sets=known.rests_on_data_sets,
        predicted=hidden.of(annotation.project, annotation.text, annotation.at)
        if annotation.blind
        else annotation.predicted,
        shown=not annotation.blind and bool(annotation.predicted),
        kept=annotation.change is Change.KEPT,
        blind=annotation.blind,
        planted=annotation.planted,
        paired=annotation.paired,
        seconds=annotation.seconds,
        at=annotation.at,
    )


def _texts(project: int | None, since: datetime | None) -> Select[uuid.UUID]:
    a = store.Annotation
    return select(a.text_id).where(a.state == AnnotationState.SUBMITTED, *_kept_to(project, since))


def _kept_to(project: int | None, since: datetime | None) -> list[ColumnElement[bool]]:
    a = store.Annotation
    conditions = []
    if project is not None:
        conditions.append(a.project_id == project)
    if since is not None:
        conditions.append(a.created_at >= since)
    return conditions
