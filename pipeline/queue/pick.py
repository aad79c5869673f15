"""Texts that a person puts into the queue, such as those that are like another one.

Nobody drew them, so nobody knows what chance they had: their inclusion probability is unknown, and no estimate uses
them. A new build leaves them in the queue, unless it draws them itself.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import QueueError
from pipeline.models.artefact import TrainedModel
from pipeline.queue.serving_order import is_harsh
from pipeline.queue.waiting import MOST_WHY, lock_queue
from pipeline.search.decided import decisions_of
from pipeline.store.tables.human_loop import PICKED, QueueState
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.stored import reading_in

#: texts that are put in by one call
MOST_PICKED = 1_000


@dataclass(frozen=True, slots=True)
class Picked:
    """Outcome of putting texts that a person chose into the queue."""

    #: texts that are now in the queue
    added: int
    #: the others, counted by the reason why they are not put in
    left_out: Mapping[str, int] = field(default_factory=dict)


_PLACES = text("""
    SELECT t.id, CASE
        WHEN NOT t.in_scope THEN 'no source has it any more'
        WHEN t.duplicate_of IS NOT NULL THEN 'it nearly repeats another text'
        WHEN EXISTS (SELECT FROM queue_item q WHERE q.text_id = t.id AND q.state = 'queued') THEN 'it is queued already'
        WHEN EXISTS (SELECT FROM queue_item q WHERE q.text_id = t.id AND q.state = 'refused')
            THEN 'a reviewer removed it from the queue'
        WHEN EXISTS (
            SELECT FROM task k JOIN project p ON p.id = k.project_id WHERE k.text_id = t.id AND p.state = 'open'
        ) THEN 'it is in Label Studio'
        WHEN EXISTS (SELECT FROM current_judgement c WHERE c.text_id = t.id AND c.kind = 'human')
            THEN 'a person has judged it'
    END
    FROM text t WHERE t.id = ANY(CAST(:ids AS uuid[]))
""")


def pick(
    session: Session,
    taxonomy: Taxonomy,
    ids: Sequence[uuid.UUID],
    *,
    why: str,
    model: TrainedModel | None,
    label: str | None = None,
    first: bool = False,
) -> Picked:
    """Put texts into the queue, in their order, with an inclusion probability that is unknown.

    Args:
        session: an open transaction.
        taxonomy: the labels.
        ids: the texts.
        why: the reason, for people.
        model: the champion, if there is one; it says which texts are probably harsh.
        label: the label that they are chosen for.
        first: True: before all waiting texts; False: behind them.

    Raises:
        QueueError: there are too many texts, or the reason is too long.
    """
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MOST_PICKED:
        raise QueueError(f"{len(wanted):,} texts are chosen: put at most {MOST_PICKED:,} into the queue at once")
    if not why or len(why) > MOST_WHY:
        raise QueueError(f"give a reason of 1 to {MOST_WHY} characters")
    lock_queue(session)
    reasons = {row[0]: row[1] for row in session.execute(_PLACES, {"ids": wanted})}
    left_out = Counter(reasons.get(text_id, "there is no such text") for text_id in wanted)
    left_out.pop(None, None)
    going = [text_id for text_id in wanted if text_id in reasons and reasons[text_id] is None]
    if going:
        expected = _expected(session, taxonomy, going, model)
        places = _priorities(session, len(going), first=first)
        session.execute(
            insert(store.QueueItem),
            [
                {
                    "text_id": text_id,
                    "strategy": PICKED,
                    "label": label,
                    "reason": why,
                    "inclusion_probability": None,
                    "priority": place,
                    "harsh": is_harsh(expected[text_id], taxonomy),
                    "expected": expected[text_id],
                }
                for text_id, place in zip(going, places, strict=True)
            ],
        )
    return Picked(len(going), dict(left_out))


def _priorities(session: Session, count: int, *, first: bool) -> list[float]:
    """Priorities for new items before or behind all others. The others move together, in their order, to make room."""
    q = store.QueueItem
    there = session.execute(select(func.count()).where(q.state == QueueState.QUEUED)).scalar_one()
    total = there + count
    session.execute(
        text("""
            UPDATE queue_item q SET priority = 1 - (n.place + :shift - 0.5) / :total FROM (
                SELECT id, row_number() OVER (ORDER BY priority DESC, id) AS place
                FROM queue_item WHERE state = 'queued'
            ) n WHERE n.id = q.id
        """),
        {"shift": count if first else 0, "total": float(total)},
    )
    start = 0 if first else there
    return [1 - (start + place + 0.5) / total for place in range(count)]


def _expected(
    session: Session, taxonomy: Taxonomy, ids: Sequence[uuid.UUID], model: TrainedModel | None
) -> dict[uuid.UUID, list[str]]:
    """Labels that each text may have: decided yes, asserted by anybody, or given by the champion (as a build does)."""
    expected: dict[uuid.UUID, set[str]] = {text_id: set() for text_id in ids}
    for text_id, decisions in decisions_of(session, taxonomy, ids).items():
        expected[text_id].update(key for key, decision in decisions.items() if decision.value)
    asserted = session.execute(
        text("""
            SELECT text_id, array_agg(DISTINCT label) FROM current_judgement, unnest(asserted) AS label
            WHERE text_id = ANY(CAST(:ids AS uuid[])) GROUP BY text_id
        """),
        {"ids": list(ids)},
    )
    for text_id, labels in asserted:
        expected[text_id].update(labels)
    if model is not None:
        t = store.Text
        rows = session.execute(select(t.id, t.masked).where(t.id == func.any(list(ids)))).all()
        own = reading_in(session, model, {row.masked: row.id for row in rows})
        likely = own.probabilities([row.masked for row in rows])
        cuts = np.array([model.thresholds.get(key, 2.0) for key in model.labels])
        for row, probabilities in zip(rows, likely, strict=True):
            expected[row.id].update(model.labels[i] for i in np.flatnonzero(probabilities >= cuts))
    return {text_id: [key for key in taxonomy.keys if key in labels] for text_id, labels in expected.items()}
