"""The texts that volunteers judged because the queue drew them, with their inclusion probabilities."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import InputError
from pipeline.judgement import ADJUDICATION, RaterKind
from pipeline.learning.evaluate import given_matrix
from pipeline.learning.sets.examples import gather
from pipeline.learning.sets.snapshot import learnt_from
from pipeline.ledger.decisions import decided_texts
from pipeline.ledger.held_out import truth_of
from pipeline.measure.stream import StreamMetrics, weighted_metrics
from pipeline.models.artefact import TrainedModel
from pipeline.store.tables.human_loop import QueueState
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean
from pipeline.texts.normalise import text_id


@dataclass(frozen=True, slots=True)
class StreamRows:
    """The texts to measure a model on without bias, and the numbers of those left out."""

    rows: Sequence[LabelledText]
    #: inclusion probability of each
    inclusion: Sequence[float]
    #: builds of the queue that they come from; totals are over all of them
    builds: int
    #: texts that these builds drew, judged or not: weights stand for whole builds
    drawn: int
    #: judged texts that the model was trained on
    learnt: int
    #: judged texts that were drawn before the model was trained
    earlier: int


def stream_rows(session: Session, taxonomy: Taxonomy, version: str) -> StreamRows:
    """The rows to estimate the figures of a model on the stream.

    A text counts once, with the inclusion probability of its first draw. Planted texts do not count: they were not
    drawn. Nor do texts that a person chose: their probability is unknown.

    Builds from before the model's snapshot do not count either: the answers of people decided which of their
    texts the model was trained on, so the other texts no longer have the inclusion probabilities of the draw. Of a
    later build, only texts that the model was trained on before, with machine labels, are left out; the rest stands
    for all texts of the stream that the model was not trained on.

    Args:
        session: an open session.
        taxonomy: the labels, and the labels that they exclude.
        version: of the model; a model without registration or snapshot is measured on all builds.
    """
    q, k, m, s = store.QueueItem, store.Task, store.Model, store.Snapshot
    since = session.scalars(select(s.created_at).join(m, m.snapshot_id == s.id).where(m.version == version)).first()
    learnt = learnt_from(session, version) or set()
    drawn = session.execute(
        select(k.text_id, q.inclusion_probability, q.run_id, q.created_at)
        .join(q, q.id == k.queue_item_id)
        .where(~q.gold, ~k.gold, k.text_id.in_(_judged_by_people()))
        .order_by(k.text_id, q.id)
    )
    first: dict[uuid.UUID, tuple[float, int | None]] = {}
    earlier: set[uuid.UUID] = set()
    for drawn_id, chance, run_id, at in drawn:
        if chance is None:
            # a person chose it
            continue
        if since is not None and at <= since:
            earlier.add(drawn_id)
        elif drawn_id not in first:
            # unknown chances are left out by the query
            first[drawn_id] = (float(chance or 0.0), run_id)
    rows: list[LabelledText] = []
    chances: list[float] = []
    builds: set[int | None] = set()
    known = 0
    for text in decided_texts(session, taxonomy, limit=0) if first else ():
        if text.id not in first or not (truth := truth_of(text)):
            continue
        if text.id in learnt:
            known += 1
            continue
        rows.append(
            LabelledText(
                text.masked,
                id=str(text.id),
                labels=truth.asserted,
                not_labels=truth.denied,
                source=",".join(text.sources),
                language=text.language,
            )
        )
        chance, run_id = first[text.id]
        chances.append(chance)
        builds.add(run_id)
    size = select(func.count()).where(
        ~q.gold, q.state != QueueState.REFUSED, q.run_id.in_([build for build in builds if build is not None])
    )
    return StreamRows(
        rows,
        chances,
        builds=len(builds),
        drawn=session.execute(size).scalar_one(),
        learnt=known,
        earlier=len(earlier - set(first)),
    )


def measure_stream(model: TrainedModel, stream: StreamRows, *, rng: np.random.Generator) -> StreamMetrics:
    """Measure a model on such rows.

    Raises:
        InputError: no row has a yes or a no for a label of the model.
    """
    examples = gather(stream.rows, model.labels)
    if not len(examples):
        raise InputError(
            f"no field figures for {model.manifest.version} yet: they need answers to texts that were queued after its "
            "training; run `saring queue build`, then `saring sync push`"
        )
    chances = {text_id(clean(row.text)): chance for row, chance in zip(stream.rows, stream.inclusion, strict=True)}
    probabilities = model.probabilities(examples.texts)
    inclusion = np.array([chances[example_id] for example_id in examples.ids], dtype=np.float64)
    return weighted_metrics(
        probabilities, examples.truth, given_matrix(model, probabilities), model.labels, inclusion, rng
    )


def _judged_by_people() -> Select[uuid.UUID]:
    """Texts that people judged. Reviewers alone do not count: a doubt brought them the text, not the draw."""
    j, r = store.Judgement, store.Rater
    return select(j.text_id).join(r, r.id == j.rater_id).where(r.kind == RaterKind.HUMAN, r.name != ADJUDICATION)
