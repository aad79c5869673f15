"""The mix of texts by week: their languages, and the champion's labels and scores of a random sample of each week.

The sample is from the end of the ids, which are hashes of the texts: stages with a limit work from the beginning, and
texts that a model learnt from should be few here.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.drift.shifts import Moments, Shift, mean_shift, share_shift
from pipeline.learning.evaluate import given_matrix
from pipeline.models.artefact import TrainedModel
from pipeline.progress import Progress, silent
from pipeline.vectors.stored import reading_in

WEEK = timedelta(days=7)
#: name of texts whose language is not known
UNKNOWN_LANGUAGE = "unknown"
_BATCH = 1_000
#: texts read for each one that is used, so that those which the model learnt from can be left out
_SPARE = 3


@dataclass(frozen=True, slots=True)
class Week:
    """One week of texts, from Monday, UTC."""

    start: datetime
    #: texts that came, without near-duplicates
    texts: int
    languages: Mapping[str, int]
    #: texts of the sample, and those of them that the champion learnt from
    sampled: int
    learnt: int
    #: texts of the sample that the champion gives each label
    given: Mapping[str, int]
    #: sums of the champion's scores over the sample
    scores: Mapping[str, Moments]


def weekly_languages(session: Session, weeks: int) -> dict[datetime, dict[str, int]]:
    """Texts by week and language, of the newest weeks, oldest first. It reads all texts."""
    t, week = store.Text, _week()
    newest = session.scalar(select(func.max(week)).where(t.duplicate_of.is_(None)))
    if newest is None:
        return {}
    language = func.coalesce(t.language, UNKNOWN_LANGUAGE)
    rows = session.execute(
        select(week, language, func.count())
        .where(t.duplicate_of.is_(None), t.created_at >= newest - (weeks - 1) * WEEK)
        .group_by(week, language)
        .order_by(week, language)
    )
    counts: dict[datetime, dict[str, int]] = {}
    for start, name, count in rows:
        counts.setdefault(start, {})[name] = count
    return counts


def weekly_sample(
    session: Session, since: datetime, per_week: int, learnt: Collection[uuid.UUID]
) -> dict[datetime, list[uuid.UUID]]:
    """Ids of up to `per_week` texts of each week, as far as possible without those that the champion learnt from."""
    t, week = store.Text, _week()
    place = func.row_number().over(partition_by=week, order_by=t.id.desc()).label("place")
    ranked = (
        select(t.id, week.label("week"), place)
        .where(t.in_scope, t.duplicate_of.is_(None), t.created_at >= since)
        .subquery()
    )
    rows = session.execute(
        select(ranked.c.week, ranked.c.id)
        .where(ranked.c.place <= per_week * _SPARE)
        .order_by(ranked.c.week, ranked.c.place)
    )
    read: defaultdict[datetime, list[uuid.UUID]] = defaultdict(list)
    for start, text_id in rows:
        read[start].append(text_id)
    return {start: sorted(ids, key=lambda text_id: text_id in learnt)[:per_week] for start, ids in read.items()}


def measure_weeks(
    session: Session,
    languages: Mapping[datetime, Mapping[str, int]],
    sample: Mapping[datetime, Sequence[uuid.UUID]],
    model: TrainedModel | None,
    learnt: Collection[uuid.UUID],
    *,
    progress: Progress = silent,
) -> list[Week]:
    """The weeks, oldest first, with what the model says of the sample; without a model nothing is said of labels."""
    weeks, finished, total = [], 0, sum(map(len, sample.values()))
    for start, counts in languages.items():
        ids = sample.get(start, ())
        given: defaultdict[str, int] = defaultdict(int)
        scores: dict[str, Moments] = {}
        for at in range(0, len(ids) if model is not None else 0, _BATCH):
            assert model is not None
            some = ids[at : at + _BATCH]
            t = store.Text
            rows = session.execute(select(t.masked, t.id).where(t.id == func.any(list(some)))).all()
            ids_of = {row.masked: row.id for row in rows}
            own = reading_in(session, model, ids_of)
            probabilities = own.probabilities([row.masked for row in rows])
            ticked = given_matrix(model, probabilities).sum(axis=0)
            for column, label in enumerate(model.labels):
                values = probabilities[:, column]
                given[label] += int(ticked[column])
                moments = Moments(len(values), float(values.sum()), float(np.square(values).sum()))
                scores[label] = scores[label] + moments if label in scores else moments
            finished += len(some)
            progress(finished, total, "predicting texts of each week")
        weeks.append(
            Week(
                start,
                sum(counts.values()),
                dict(counts),
                len(ids) if model is not None else 0,
                sum(text_id in learnt for text_id in ids) if model is not None else 0,
                dict(given),
                scores,
            )
        )
    return weeks


def language_shifts(before: Sequence[Week], now: Sequence[Week]) -> list[Shift]:
    """The share of each language, earlier and in the recent weeks."""
    names = sorted({name for week in (*before, *now) for name in week.languages})
    of_before, of_now = sum(week.texts for week in before), sum(week.texts for week in now)
    return [
        share_shift(
            name,
            (sum(week.languages.get(name, 0) for week in before), of_before),
            (sum(week.languages.get(name, 0) for week in now), of_now),
        )
        for name in names
    ]


def label_shifts(before: Sequence[Week], now: Sequence[Week], labels: Sequence[str]) -> list[Shift]:
    """The share of texts that the champion gives each label, earlier and in the recent weeks."""
    of_before, of_now = sum(week.sampled for week in before), sum(week.sampled for week in now)
    return [
        share_shift(
            label,
            (sum(week.given.get(label, 0) for week in before), of_before),
            (sum(week.given.get(label, 0) for week in now), of_now),
        )
        for label in labels
    ]


def score_shifts(before: Sequence[Week], now: Sequence[Week], labels: Sequence[str]) -> list[Shift]:
    """The champion's mean score of each label, earlier and in the recent weeks."""
    nothing = Moments(0, 0.0, 0.0)
    return [
        mean_shift(
            label,
            sum((week.scores.get(label, nothing) for week in before), nothing),
            sum((week.scores.get(label, nothing) for week in now), nothing),
        )
        for label in labels
    ]


def _week() -> ColumnElement[datetime]:
    """The Monday of a text's week."""
    return func.date_trunc("week", store.Text.created_at, "UTC")
