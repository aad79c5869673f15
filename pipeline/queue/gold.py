"""Planted texts: texts with a known answer among the others, to measure raters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.queue.people import Known
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.table import vectors_of

#: known texts that are read at once
_CHUNK = 1_000


def plantable(session: Session, known: Sequence[Known]) -> list[Known]:
    """The known texts that some open project has not had yet; without a project, all.

    Texts that a reviewer refused are left out, and so are texts of a test split: a careless answer would make them
    contested.
    """
    if not known:
        return []
    ids = session.execute(
        text("""
            SELECT k.id FROM unnest(CAST(:ids AS uuid[])) AS k (id)
            WHERE NOT EXISTS (SELECT 1 FROM queue_item q WHERE q.text_id = k.id AND q.state = 'refused')
                AND NOT EXISTS (SELECT 1 FROM text_source s WHERE s.text_id = k.id AND s.split = 'test')
                AND ((SELECT count(*) FROM project WHERE state = 'open') = 0 OR EXISTS (
                    SELECT 1 FROM project p WHERE p.state = 'open' AND NOT EXISTS (
                        SELECT 1 FROM task t WHERE t.project_id = p.id AND t.text_id = k.id
                    )
                ))
        """),
        {"ids": [candidate.id for candidate in known]},
    )
    free = {row[0] for row in ids}
    return [candidate for candidate in known if candidate.id in free]


def choose_gold(
    session: Session,
    known: Sequence[Known],
    count: int,
    taken: Vectors | None,
    *,
    encoder: str,
    near: float,
    rng: np.random.Generator,
) -> tuple[list[Known], float]:
    """Known texts to plant, not very similar to drawn texts or to each other, and the inclusion probability of each.

    Args:
        session: an open session.
        known: the texts that can be planted.
        count: number of texts.
        taken: vectors of the drawn texts; None if there are none.
        encoder: the space of the vectors.
        near: cosine above which two texts are very similar.
        rng: draws the texts.
    """
    if not count:
        return [], 1.0
    order = rng.permutation(len(known))
    chosen: list[Known] = []
    for start in range(0, len(order), _CHUNK):
        some = [known[i] for i in order[start : start + _CHUNK]]
        at = {candidate.id: i for i, candidate in enumerate(some)}
        rows, vectors = vectors_of(session, encoder, list(at), at)
        vector_of = dict(zip(rows, vectors, strict=True))
        for i, candidate in enumerate(some):
            if len(chosen) == count:
                return chosen, count / len(known)
            vector = vector_of.get(i)
            if vector is not None:
                if taken is not None and (taken @ vector > near).any():
                    continue
                taken = vector[None] if taken is None else np.concatenate([taken, vector[None]])
            chosen.append(candidate)
    return chosen, len(chosen) / len(known) if chosen else 1.0
