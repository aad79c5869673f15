"""Measure drift: the mix of recent weeks against the weeks before, and recent vectors against earlier ones."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.drift.mix import (
    WEEK,
    Week,
    label_shifts,
    language_shifts,
    measure_weeks,
    score_shifts,
    weekly_languages,
    weekly_sample,
)
from pipeline.drift.shifts import Alarm, Limits, Shift, shift_alarms, vector_alarms
from pipeline.drift.two_sample import TwoSample, two_sample_test
from pipeline.learning.evaluate import given_matrix
from pipeline.learning.sets.snapshot import learnt_from
from pipeline.models.artefact import TrainedModel
from pipeline.progress import Progress, silent
from pipeline.vectors.spaces import active_space
from pipeline.vectors.table import get_vectors

#: the weeks that are looked at, and those of them that count as recent, if nobody says otherwise
WEEKS, RECENT = 26, 4


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """Bounds of a measurement."""

    #: weeks that are looked at, and the newest of them that count as recent
    weeks: int = WEEKS
    recent: int = RECENT
    #: texts of each week that the champion predicts
    per_week: int = 300
    #: vectors of each sample
    vectors: int = 2_000
    #: texts that are named as most new
    newest: int = 20
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class NewText:
    """A recent text that the classifier tells from the texts that the champion learnt from, or from earlier ones."""

    id: uuid.UUID
    #: probability that it is a recent one, by a classifier that did not see it
    probability: float
    #: labels that the champion gives it; None: there is no champion
    labels: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The state of drift at one moment."""

    measured_at: datetime
    #: the model whose predictions make up labels and scores; None: there is no champion
    champion: str | None
    #: the space of the vectors; None: there are no vectors
    encoder: str | None
    #: weeks from this one on are recent; None: there are no texts
    recent_since: datetime | None
    weeks: tuple[Week, ...]
    labels: tuple[Shift, ...]
    scores: tuple[Shift, ...]
    languages: tuple[Shift, ...]
    #: recent vectors against those of the texts that the champion learnt from, and against those of earlier texts;
    #: None: too few vectors on a side
    training: TwoSample | None
    earlier: TwoSample | None
    #: from the test against the training texts, else from that against earlier ones
    newest: tuple[NewText, ...]
    alarms: tuple[Alarm, ...]
    limits: Limits


def measure_drift(
    session: Session,
    model: TrainedModel | None,
    *,
    config: DriftConfig,
    now: datetime,
    seed: int,
    progress: Progress = silent,
) -> DriftReport:
    """Measure drift over the texts of the store. It reads all texts once or twice, and changes nothing.

    Args:
        session: an open session.
        model: the champion; None: nothing is said of labels and scores.
        config: the bounds.
        now: for the record.
        seed: seed of every random choice.
        progress: called as the work advances.
    """
    progress(0, None, "counting texts by week")
    languages = weekly_languages(session, config.weeks)
    version = model.manifest.version if model is not None else None
    learnt = (learnt_from(session, version) or set()) if version is not None else set()
    weeks: list[Week] = []
    if languages:
        sample = weekly_sample(session, next(iter(languages)), config.per_week, learnt) if model is not None else {}
        weeks = measure_weeks(session, languages, sample, model, learnt, progress=progress)
    since = weeks[-1].start - (config.recent - 1) * WEEK if weeks else None
    before = [week for week in weeks if since is not None and week.start < since]
    recent = [week for week in weeks if since is not None and week.start >= since]
    labels = model.labels if model is not None else ()
    shifts = (
        label_shifts(before, recent, labels),
        score_shifts(before, recent, labels),
        language_shifts(before, recent),
    )
    progress(0, None, "comparing vectors")
    encoder = active_space(session)
    training = earlier = None
    newest: tuple[NewText, ...] = ()
    if encoder is not None and since is not None:
        rng = np.random.default_rng(seed)
        vectors = _Vectors(session, encoder, config.vectors)
        ids, values = vectors.of_texts(store.Text.created_at >= since, learnt)
        training = two_sample_test(values, vectors.of_ids(learnt, rng), rng=rng, most=config.newest)
        earlier = two_sample_test(
            values, vectors.of_texts(store.Text.created_at < since, ())[1], rng=rng, most=config.newest
        )
        newest = _newest(session, training or earlier, ids, model)
    limits = config.limits
    return DriftReport(
        measured_at=now,
        champion=version,
        encoder=encoder,
        recent_since=since,
        weeks=tuple(weeks),
        labels=tuple(shifts[0]),
        scores=tuple(shifts[1]),
        languages=tuple(shifts[2]),
        training=training,
        earlier=earlier,
        newest=newest,
        alarms=(
            *vector_alarms("training", training, limits),
            *vector_alarms("earlier", earlier, limits),
            *shift_alarms("label", shifts[0], limits),
            *shift_alarms("score", shifts[1], limits),
            *shift_alarms("language", shifts[2], limits),
        ),
        limits=limits,
    )


class _Vectors:
    """Bounded samples of the vectors of one space."""

    def __init__(self, session: Session, encoder: str, most: int) -> None:
        self._session, self._encoder, self._most = session, encoder, most

    def of_texts(
        self, condition: ColumnElement[bool], without: Collection[uuid.UUID]
    ) -> tuple[list[uuid.UUID], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        """Ids and vectors of texts in scope that meet a condition, from the end of the ids."""
        t, v = store.Text, store.Vector
        # ids are hashes, so a part of them in order is a random sample
        query = (
            select(t.id)
            .join(v, (v.text_id == t.id) & (v.encoder == self._encoder))
            .where(t.in_scope, t.duplicate_of.is_(None), condition)
            .order_by(t.id.desc())
        )
        ids: list[uuid.UUID] = []
        with closing(self._session.scalars(query.execution_options(yield_per=self._most))) as rows:
            for text_id in rows:
                if text_id not in without:
                    ids.append(text_id)
                if len(ids) == self._most:
                    break
        return self._read(ids)

    def of_ids(
        self, ids: Collection[uuid.UUID], rng: np.random.Generator
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Vectors of some of these texts, drawn at random."""
        ordered = sorted(ids)
        drawn = rng.permutation(len(ordered))[: self._most]
        return self._read([ordered[place] for place in drawn])[1]

    def _read(
        self, ids: Sequence[uuid.UUID]
    ) -> tuple[list[uuid.UUID], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        held = get_vectors(self._session, self._encoder, ids)
        kept = [text_id for text_id in ids if text_id in held]
        return kept, np.stack([held[text_id] for text_id in kept]) if kept else np.zeros((0, 1), dtype=np.float32)


def _newest(
    session: Session, test: TwoSample | None, ids: Sequence[uuid.UUID], model: TrainedModel | None
) -> tuple[NewText, ...]:
    if test is None:
        return ()
    named = [(ids[place], probability) for place, probability in test.newest]
    labels: dict[uuid.UUID, tuple[str, ...]] = {}
    if model is not None:
        t = store.Text
        rows = session.execute(select(t.id, t.masked).where(t.id == func.any([text_id for text_id, _ in named]))).all()
        given = given_matrix(model, model.probabilities([masked for _, masked in rows]))
        for (text_id, _), row in zip(rows, given, strict=True):
            labels[text_id] = tuple(label for label, ticked in zip(model.labels, row, strict=True) if ticked)
    return tuple(
        NewText(text_id, probability, labels.get(text_id) if model is not None else None)
        for text_id, probability in named
    )
