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
    for one in seen:
        if one.state is AnnotationState.SUBMITTED:
            by_text[one.text].append(one)
    hidden = Hidden(session, project)
    rows = Rows(taxonomy)
    excluded = excluded_raters(session)
    # who was excluded is still measured, and is no measure for others
    for text, judgements in judgements_by_text(session, texts=_texts(project, since), excluded=True):
        standing = current_judgements(judgements)
        trusted = [j for j in judgements if not (is_volunteer(j.rater) and j.rater.version in excluded)]
        for one in by_text.get(text, ()):
            mine = next((j for j in standing if is_volunteer(j.rater) and _is_of(j, one)), None)
            # only the last word of a rater on a text stands
            if mine is not None:
                rows.add(_row(one, mine, trusted, hidden, taxonomy))
    states: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in seen:
        states[one.rater][str(one.state)] += 1
    benign = {label.key for label in taxonomy if label.benign}
    exposures = tuple(
        Exposure(one.rater, one.at, one.seconds, one.harsh or bool(set(one.chosen) - benign), one.cap) for one in seen
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


def _is_of(judgement: Judgement, one: _Seen) -> bool:
    return judgement.rater.version == one.rater and judgement.external_ref.startswith(
        f"ls:{one.project}:{one.annotation}:"
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
    found: Any = session.execute(query.where(*_kept_to(project, since)))
    # a task that somebody made by hand is neither planted nor paired nor expected to be harsh
    return [_Seen(*(*row[:11], *map(bool, row[11:14]), row[14])) for row in found]


def _row(one: _Seen, mine: Judgement, judgements: Sequence[Judgement], hidden: Hidden, taxonomy: Taxonomy) -> AnswerRow:
    excludes = {label.key: frozenset(label.excludes) for label in taxonomy}
    return AnswerRow(
        rater=one.rater,
        text=one.text,
        said=dict.fromkeys(mine.asserted, True) | dict.fromkeys(mine.denied - mine.asserted, False),
        truth=known_without(judgements, mine.rater, planted_in=one.project if one.planted else None, excludes=excludes),
        predicted=hidden.of(one.project, one.text, one.at) if one.blind else one.predicted,
        shown=not one.blind and bool(one.predicted),
        kept=one.change is Change.KEPT,
        blind=one.blind,
        planted=one.planted,
        paired=one.paired,
        seconds=one.seconds,
        at=one.at,
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
