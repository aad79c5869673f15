"""Making the table of answers, row by row."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.measure.arrays import UNKNOWN, Booleans, LabelMatrix
from pipeline.taxonomy import Taxonomy
from sync.quality.answers import Answers

_PAIR = 2


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One answer that counts."""

    rater: str
    text: uuid.UUID
    said: Mapping[str, bool]
    #: what is known without this rater's word
    truth: Mapping[str, bool]
    #: that rests on data sets alone
    of_data_sets: bool
    #: labels that were ticked, or in a blind task would have been; None: nothing was predicted
    predicted: Collection[str] | None
    shown: bool
    kept: bool
    blind: bool
    planted: bool
    #: its task was asked of two raters by a coin
    paired: bool
    seconds: float | None
    at: datetime


class Hidden:
    """The labels that would have been ticked on blind tasks."""

    def __init__(self, session: Session, project: int | None) -> None:
        p, b, t = store.Prediction, store.PredictionBatch, store.Task
        query = (
            select(p.project_id, p.text_id, b.shown_at, p.labels)
            .join(b, (b.project_id == p.project_id) & (b.version == p.version))
            .join(t, (t.project_id == p.project_id) & (t.text_id == p.text_id))
            .where(t.blind, b.shown_at.is_not(None))
            .order_by(b.shown_at)
        )
        if project is not None:
            query = query.where(p.project_id == project)
        self._found: dict[tuple[int, uuid.UUID], list[tuple[datetime, list[str]]]] = {}
        for of, text_id, shown_at, labels in session.execute(query):
            if shown_at is not None:
                self._found.setdefault((of, text_id), []).append((shown_at, labels))

    def of(self, project: int, text_id: uuid.UUID, at: datetime) -> Sequence[str] | None:
        """The labels of the version that was shown at that moment, else of the first."""
        versions = self._found.get((project, text_id), [])
        earlier = [labels for since, labels in versions if since <= at]
        return earlier[-1] if earlier else versions[0][1] if versions else None


class Rows:
    """Collects answers into a table."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._labels = taxonomy.keys
        self._rows: list[AnswerRow] = []

    def add(self, row: AnswerRow) -> None:
        """One more answer."""
        self._rows.append(row)

    def table(self) -> Answers:
        """All of them."""
        rows = self._rows
        raters = tuple(sorted({row.rater for row in rows}, key=_by_number))
        texts = {text: i for i, text in enumerate(dict.fromkeys(row.text for row in rows))}
        rater_of = {rater: i for i, rater in enumerate(raters)}
        return Answers(
            labels=self._labels,
            raters=raters,
            texts=len(texts),
            rater=np.array([rater_of[row.rater] for row in rows], dtype=np.int64),
            text=np.array([texts[row.text] for row in rows], dtype=np.int64),
            said=self._matrix([row.said for row in rows]),
            truth=self._matrix([row.truth for row in rows]),
            of_data_sets=np.array([row.of_data_sets for row in rows], dtype=np.bool_),
            predicted=self._matrix(
                [{} if row.predicted is None else {key: key in row.predicted for key in self._labels} for row in rows]
            ),
            shown=np.array([row.shown for row in rows], dtype=np.bool_),
            kept=np.array([row.kept for row in rows], dtype=np.bool_),
            blind=np.array([row.blind for row in rows], dtype=np.bool_),
            planted=np.array([row.planted for row in rows], dtype=np.bool_),
            paired=_first_two(rows),
            seconds=np.array([np.nan if row.seconds is None else row.seconds for row in rows], dtype=np.float64),
            at=np.array([row.at.timestamp() for row in rows], dtype=np.float64),
        )

    def _matrix(self, verdicts: Sequence[Mapping[str, bool]]) -> LabelMatrix:
        matrix = np.full((len(verdicts), len(self._labels)), UNKNOWN, dtype=np.int8)
        for i, values in enumerate(verdicts):
            for j, key in enumerate(self._labels):
                if key in values:
                    matrix[i, j] = values[key]
        return matrix


def _first_two(rows: Sequence[AnswerRow]) -> Booleans:
    """Rows that are one of the first two answers to a text that a coin had two raters asked for: a third was asked only
    where the two disagreed."""
    first = np.zeros(len(rows), dtype=np.bool_)
    seen: Counter[uuid.UUID] = Counter()
    for i in sorted(range(len(rows)), key=lambda i: rows[i].at):
        if rows[i].paired:
            seen[rows[i].text] += 1
            first[i] = seen[rows[i].text] <= _PAIR
    return first


def _by_number(rater: str) -> tuple[int, str]:
    return (int(rater), "") if rater.isdecimal() and len(rater) < 20 else (1 << 62, rater)
