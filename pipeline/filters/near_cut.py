"""The texts next to a cut, nearest first: those just below it and those just above."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, text, tuple_
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters.histogram import stored


@dataclass(frozen=True, slots=True)
class NearText:
    """A text next to a cut."""

    text_id: uuid.UUID
    #: personal data is masked
    text: str
    language: str | None
    score: float
    #: the last decision, which may be by another cut
    kept: bool
    reason: str
    #: some rater says that it has a harmful label, rejected by a filter or not
    harsh: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """Some texts on one side of a cut, nearest first."""

    texts: tuple[NearText, ...]
    #: score and id of the last text, if others lie further away: `near_cut` goes on behind it
    behind: tuple[float, uuid.UUID] | None


def near_cut(
    session: Session,
    stage: str,
    label: str,
    cut: float,
    *,
    above: bool,
    harmful: Sequence[str],
    limit: int = 10,
    behind: tuple[float, uuid.UUID] | None = None,
) -> Beside:
    """The texts of a label next to a cut, masked. It takes the same time however many texts there are.

    Args:
        session: an open session.
        stage: the filter, as its decisions name it.
        label: key of the label.
        cut: any cut; texts on it are above it.
        above: the side of the cut.
        harmful: keys of the labels that make a text harsh.
        limit: largest number of texts.
        behind: score and id of the last text that was shown; None: from the cut.
    """
    d, t = store.FilterDecision, store.Text
    query = (
        select(d.text_id, t.masked, t.language, d.score, d.kept, d.reason)
        .join(t, t.id == d.text_id)
        .where(d.stage == stage, d.label == label)
        .limit(limit + 1)
    )
    if above:
        query = query.where(d.score >= stored(cut)).order_by(d.score, d.text_id)
    else:
        query = query.where(d.score < stored(cut)).order_by(d.score.desc(), d.text_id.desc())
    if behind is not None:
        place, last = tuple_(d.score, d.text_id), (stored(behind[0]), behind[1])
        query = query.where(place > last if above else place < last)
    rows = session.execute(query).all()
    shown = rows[:limit]
    harsh = harsh_texts(session, [row.text_id for row in shown], harmful)
    texts = tuple(
        NearText(row.text_id, row.masked, row.language, stored(row.score), row.kept, row.reason, row.text_id in harsh)
        for row in shown
    )
    return Beside(texts, (texts[-1].score, texts[-1].text_id) if shown and len(rows) > limit else None)


def harsh_texts(session: Session, ids: Sequence[uuid.UUID], harmful: Sequence[str]) -> set[uuid.UUID]:
    """Those of the texts that some rater currently gives a harmful label. A filter's decision does not count here: one
    warning too many is better than one too few."""
    if not ids or not harmful:
        return set()
    rows = session.scalars(
        text("""
            SELECT DISTINCT text_id FROM current_judgement
            WHERE text_id = ANY(CAST(:ids AS uuid[])) AND asserted && CAST(:harmful AS text[])
        """),
        {"ids": list(ids), "harmful": list(harmful)},
    )
    return set(rows)
