"""Another score of the centroid filter: the share of a text's nearest texts that the same raters give the label.

A text that is near its label's centre may still lie among texts without the label; its neighbours tell. They are drawn
from a sample, so the time grows with the number of texts alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.learning.neighbour_votes import centred, neighbour_votes
from pipeline.ledger.resolve import FILTERED_KINDS
from pipeline.measure.arrays import LabelMatrix
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.table import read_vectors

#: texts of each label, and of those without one, among which neighbours are looked for, at most
SAMPLE = 1_000
#: texts that are compared at once
_CHUNK = 2_000
#: digits of a score
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """Texts that machines labelled, among which neighbours are looked for."""

    #: the row of each text
    rows: dict[uuid.UUID, int]
    #: [rows, dimension], without their mean, of length 1
    vectors: Vectors
    #: [1, dimension]
    mean: Vectors
    #: [rows, labels]: 1 where a machine asserts the label, else 0
    given: LabelMatrix


def load_sample(session: Session, encoder: str, keys: Sequence[str], size: int = SAMPLE) -> Sample:
    """The first texts of each label, and of those that have none, with all labels that machines currently assert.

    First in order of id: ids are hashes of the texts, so these are a uniform random sample. A label that no machine
    asserts of a text counts as denied there, since a machine is asked about all of them.

    Args:
        session: an open session.
        encoder: the space.
        keys: all labels of the taxonomy, in its order, so that a label's scores do not depend on which are filtered.
        size: texts of each label, at most.
    """
    drawn = session.execute(
        text("""
            WITH said AS (
                SELECT DISTINCT j.text_id, coalesce(array_position(CAST(:labels AS text[]), label), 0) AS label
                FROM current_judgement j
                    LEFT JOIN LATERAL unnest(j.asserted) AS label ON label = ANY(CAST(:labels AS text[]))
                WHERE j.kind = ANY(CAST(:kinds AS text[]))
                    AND EXISTS (SELECT FROM text_vector v WHERE v.text_id = j.text_id AND v.encoder = :encoder)
            ), numbered AS (
                SELECT *, row_number() OVER (PARTITION BY label ORDER BY text_id) AS nth FROM said
            ), drawn AS (
                SELECT DISTINCT text_id FROM numbered WHERE nth <= :size
            )
            SELECT s.text_id, array_agg(s.label), halfvec_send(v.embedding)
            FROM said s JOIN drawn USING (text_id) JOIN text_vector v ON v.text_id = s.text_id AND v.encoder = :encoder
            GROUP BY s.text_id, v.embedding ORDER BY s.text_id
        """),
        {"labels": list(keys), "kinds": sorted(FILTERED_KINDS), "encoder": encoder, "size": size},
    ).all()
    given = np.zeros((len(drawn), len(keys)), dtype=np.int8)
    for row, (_, labels, _) in enumerate(drawn):
        # 0 stands for a machine that asserted none of them
        given[row, [label - 1 for label in labels if label]] = 1
    vectors = read_vectors(b"".join(bytes(sent) for *_, sent in drawn))
    mean = vectors.mean(axis=0, keepdims=True) if len(drawn) else vectors[:1]
    places = {text_id: row for row, (text_id, *_) in enumerate(drawn)}
    return Sample(places, centred(vectors, mean) if len(drawn) else vectors, mean, given)


def compare_with_neighbours(
    session: Session, encoder: str, sample: Sample, columns: Sequence[int], numbers: Sequence[int]
) -> None:
    """Collect into `centroid_compared` the share of each text's neighbours that have its label, nearer ones counting
    more. Call `find_asserted` first.

    Args:
        session: an open session.
        encoder: the space.
        sample: where neighbours are looked for.
        columns: for each label that is filtered, its column in the sample.
        numbers: for each of them, its number in `asserted_label`.
    """
    session.execute(
        text("CREATE TEMP TABLE centroid_compared (label smallint, text_id uuid, score real) ON COMMIT DROP")
    )
    column_of = dict(zip(numbers, columns, strict=True))
    asked = session.execute(
        text("""
            SELECT a.text_id, array_agg(a.label) AS labels, halfvec_send(v.embedding) AS sent
            FROM asserted_label a JOIN text_vector v ON v.text_id = a.text_id AND v.encoder = :encoder
            WHERE a.label = ANY(CAST(:numbers AS smallint[])) GROUP BY a.text_id, v.embedding ORDER BY a.text_id
        """),
        {"encoder": encoder, "numbers": list(numbers)},
    ).all()
    for start in range(0, len(asked), _CHUNK):
        rows = asked[start : start + _CHUNK]
        vectors = centred(read_vectors(b"".join(bytes(row.sent) for row in rows)), sample.mean)
        own = np.array([sample.rows.get(row.text_id, -1) for row in rows], dtype=np.int64)
        share = neighbour_votes(vectors, sample.vectors, sample.given, own=own).share
        scored = [
            (label, row.text_id, share[i, column_of[label]]) for i, row in enumerate(rows) for label in row.labels
        ]
        session.execute(
            text("""
                INSERT INTO centroid_compared
                SELECT * FROM unnest(CAST(:labels AS smallint[]), CAST(:texts AS uuid[]), CAST(:scores AS real[]))
            """),
            {
                "labels": [label for label, _, _ in scored],
                "texts": [text_id for _, text_id, _ in scored],
                # Sums in another order differ in the last digits, and the decisions are to be the same.
                "scores": [round(float(score), _DIGITS) for *_, score in scored],
            },
        )
