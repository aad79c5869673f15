"""The texts that volunteers judged because the queue drew them, with the chance that each had."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import InputError
from pipeline.judgement import RaterKind
from pipeline.learning.evaluate import given_matrix
from pipeline.learning.sets.examples import gather
from pipeline.learning.sets.snapshot import learnt_from
from pipeline.ledger.decisions import decided_texts
from pipeline.ledger.held_out import truth_of
from pipeline.measure.stream import FieldMetrics, weighted_metrics
from pipeline.models.artefact import TrainedModel
from pipeline.store.tables.human_loop import QueueState
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean
from pipeline.texts.normalise import text_id


@dataclass(frozen=True, slots=True)
class FieldRows:
    """What a model can be measured on without bias, and what had to be left out."""

    rows: Sequence[LabelledText]
    #: the chance that the queue drew each
    inclusion: Sequence[float]
    #: builds of the queue that they come from; totals are over all of them
    builds: int
    #: texts that these builds drew, answered or not: weights speak for whole builds
    drawn: int
    #: judged, but the model learnt from them
    learnt: int
    #: judged, but drawn before the model was trained
    earlier: int


def field_rows(session: Session, taxonomy: Taxonomy, version: str) -> FieldRows:
    """The rows on which a model can be measured as the stream would measure it.

    A text counts once, with the chance of its first draw. Planted texts don't count: nobody drew them. A build from
    before the model's snapshot doesn't count either. Which of its texts the model learnt from depends on what people
    answered, thus on the draw itself, and what is left would no longer have the chances that it was drawn with. Of
    a later build only those texts are left out that the model had learnt beforehand, from what machines said of
    them; the rest stands for all texts of the stream that the model hasn't learnt.

    Args:
        session: an open session.
        taxonomy: says which labels exclude each other.
        version: of the model; one that isn't registered, or has no snapshot, is measured on all builds.
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
    for one, chance, run_id, at in drawn:
        if since is not None and at <= since:
            earlier.add(one)
        elif one not in first:
            first[one] = (chance, run_id)
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
        ~q.gold, q.state != QueueState.REFUSED, q.run_id.in_([one for one in builds if one is not None])
    )
    return FieldRows(
        rows,
        chances,
        builds=len(builds),
        drawn=session.execute(size).scalar_one(),
        learnt=known,
        earlier=len(earlier - set(first)),
    )


def measure_field(model: TrainedModel, found: FieldRows, *, rng: np.random.Generator) -> FieldMetrics:
    """Measure a model on such rows.

    Raises:
        InputError: there is no row that says anything of a label of the model.
    """
    examples = gather(found.rows, model.labels)
    if not len(examples):
        raise InputError(
            f"nothing to measure {model.manifest.version} on: no volunteer has judged a text that the queue drew after "
            "it was trained; draw some with `saring queue build` and push them"
        )
    chances = {text_id(clean(row.text)): chance for row, chance in zip(found.rows, found.inclusion, strict=True)}
    probabilities = model.probabilities(examples.texts)
    inclusion = np.array([chances[one] for one in examples.ids], dtype=np.float64)
    return weighted_metrics(
        probabilities, examples.truth, given_matrix(model, probabilities), model.labels, inclusion, rng
    )


def _judged_by_people() -> Select[uuid.UUID]:
    j, r = store.Judgement, store.Rater
    return select(j.text_id).join(r, r.id == j.rater_id).where(r.kind == RaterKind.HUMAN)
