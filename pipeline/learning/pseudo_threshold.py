"""Pseudo-labels for texts of which a model is sure, and a sample of them for people."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.models.artefact import TrainedModel

REVIEW_REASON = "pseudo_sample"
_CHUNK = 4_000


def write(
    session: Session,
    model: TrainedModel,
    confident: Mapping[uuid.UUID, float],
    taxonomy_version: str,
    run_id: int,
) -> int:
    """Record the pseudo-labels; return the number of new ones."""
    (label,) = model.labels
    who = rater_id(session, _rater(model), {"objective": model.manifest.objective, "cut": model.thresholds[label]})
    verdicts = [
        NewJudgement(text_id, asserted=frozenset({label}), scores={label: round(p, 4)})
        for text_id, p in confident.items()
    ]
    recorded = record(session, who, verdicts, taxonomy_version=taxonomy_version, run_id=run_id)
    return recorded.new + recorded.revised


def _rater(model: TrainedModel) -> RaterRef:
    # The version leaves out the day: the same model, trained again tomorrow, is the same rater.
    return RaterRef(RaterKind.PSEUDO, model.manifest.purpose, model.manifest.version.rsplit("-", 1)[-1])


def score(session: Session, model: TrainedModel, ids: Sequence[uuid.UUID]) -> tuple[int, Mapping[uuid.UUID, float]]:
    """The number of scored texts, and the probabilities of those that pass the cut."""
    t = store.Text
    cut = model.manifest.labels[0].threshold
    confident: dict[uuid.UUID, float] = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = list(ids[start : start + _CHUNK])
        rows = session.execute(select(t.id, t.masked).where(t.id == func.any(chunk)).order_by(t.id)).all()
        scores = model.probabilities([masked for _, masked in rows])[:, 0]
        confident |= {text_id: float(p) for (text_id, _), p in zip(rows, scores, strict=True) if p >= cut}
    return len(ids), confident


def given_by(session: Session, model: TrainedModel) -> list[uuid.UUID]:
    """The texts that a model of this stage gives its label to, in order."""
    j, r = store.Judgement, store.Rater
    ref = _rater(model)
    return list(
        session.scalars(
            select(j.text_id)
            .join(r, r.id == j.rater_id)
            .where(r.kind == ref.kind, r.name == ref.name, r.version == ref.version)
            .distinct()
            .order_by(j.text_id)
        )
    )


def draw_review(
    session: Session,
    label: str,
    ids: Sequence[uuid.UUID],
    share: float,
    least: int,
    rng: np.random.Generator,
    run_id: int,
) -> int:
    """Draw for people a random sample of the texts with this pseudo-label; return its size."""
    if not ids:
        return 0
    size = min(len(ids), max(least, round(len(ids) * share)))
    chosen = rng.choice(len(ids), size=size, replace=False)
    rows = [
        {
            "text_id": ids[i],
            "label": label,
            "reason": REVIEW_REASON,
            "inclusion_probability": size / len(ids),
            "run_id": run_id,
        }
        for i in sorted(chosen)
    ]
    session.execute(insert(store.Review).on_conflict_do_nothing(), rows)
    return size
