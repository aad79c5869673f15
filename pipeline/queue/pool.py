"""Reading the candidates from the store: a uniform pool of the eligible texts, small enough to hold in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Judgement, RaterKind
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.consensus.rule import Consensus
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.resolve import current_judgements, resolve, text_tier
from pipeline.measure.arrays import Floats
from pipeline.models.artefact import TrainedModel
from pipeline.progress import Progress
from pipeline.queue.candidates import Candidates, FilterMark, ReviewMark
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.stored import reading_in
from pipeline.vectors.table import vectors_of

#: texts read and scored at once
_CHUNK = 4_000
#: kinds of raters that count as machines
_MACHINES = (RaterKind.LLM, RaterKind.BOOTSTRAP, RaterKind.PSEUDO, RaterKind.RULE)
#: kinds of raters whose scores are probabilities of every label; the first with scores counts
_SCORERS = (RaterKind.LLM, RaterKind.BOOTSTRAP)


@dataclass(frozen=True, slots=True)
class Pool:
    """Ids of the candidates, in order, and the probability of each eligible text to be one."""

    ids: tuple[uuid.UUID, ...]
    share: Floats
    eligible: int


def draw_pool(session: Session, size: int, *, scarce: Sequence[str], seed: int) -> Pool:
    """Draw the candidates: at most `size` texts that are in scope, no duplicates, not judged by a person, not in an
    open project, and not refused by a reviewer.

    Texts that a stage drew for people, or that a machine gave a label of `scarce`, are rare and wanted, so up to half
    of the places are theirs. Each part is the texts with the lowest keyed hash: a simple random sample.
    """
    rows = session.execute(
        text("""
            WITH eligible AS MATERIALIZED (
                SELECT t.id, EXISTS (SELECT 1 FROM review v WHERE v.text_id = t.id) OR EXISTS (
                    SELECT 1 FROM judgement j JOIN rater r ON r.id = j.rater_id
                    WHERE j.text_id = t.id AND r.kind = ANY(CAST(:machines AS text[]))
                        AND j.asserted && CAST(:scarce AS text[])
                ) AS sought
                FROM text t
                WHERE t.in_scope AND t.duplicate_of IS NULL
                    AND NOT EXISTS (SELECT 1 FROM current_judgement j WHERE j.text_id = t.id AND j.kind = :human)
                    AND NOT EXISTS (
                        SELECT 1 FROM task k JOIN project p ON p.id = k.project_id
                        WHERE k.text_id = t.id AND p.state = 'open'
                    )
                    AND NOT EXISTS (SELECT 1 FROM queue_item q WHERE q.text_id = t.id AND q.state = 'refused')
            ), placed AS (
                SELECT id, sought, count(*) OVER (PARTITION BY sought) AS total,
                    row_number() OVER (PARTITION BY sought ORDER BY uuid_hash_extended(id, :seed), id) AS place
                FROM eligible
            )
            SELECT id, sought, total, place FROM placed WHERE place <= :size
        """),
        {
            "machines": list(_MACHINES),
            "human": RaterKind.HUMAN,
            "scarce": list(scarce),
            "seed": seed,
            "size": size,
        },
    ).all()
    totals = {bool(sought): int(total) for _, sought, total, _ in rows}
    sought_places = min(totals.get(True, 0), max(size // 2, size - totals.get(False, 0)))
    places = {True: sought_places, False: min(totals.get(False, 0), size - sought_places)}
    chosen = sorted((row[0], bool(row[1])) for row in rows if row[3] <= places[bool(row[1])])
    return Pool(
        tuple(text_id for text_id, _ in chosen),
        np.array([places[sought] / totals[sought] for _, sought in chosen], dtype=np.float64),
        sum(totals.values()),
    )


def load_candidates(
    session: Session,
    taxonomy: Taxonomy,
    pool: Pool,
    *,
    model: TrainedModel | None,
    encoder: str,
    shortage: Floats,
    centres: Mapping[str, Vectors],
    progress: Progress,
) -> Candidates:
    """Load all data for the strategies on the texts of a pool."""
    keys = taxonomy.keys
    n, m = len(pool.ids), len(keys)
    ledger = _Ledger(taxonomy, n, current_consensus(session))
    filters: list[FilterMark] = []
    reviews: list[ReviewMark] = []
    scored = np.full((n, m), np.nan) if model is not None else None
    vectors: Vectors | None = None
    languages: list[str | None] = [None] * n
    for start, ids in _chunks(pool.ids):
        at = {text_id: start + i for i, text_id in enumerate(ids)}
        ledger.read(session, ids, at)
        filters.extend(_filters(session, ids, at, keys))
        reviews.extend(_reviews(session, ids, at, keys))
        masked = _texts(session, ids, at, languages)
        if model is not None and scored is not None:
            columns = [(i, keys.index(key)) for i, key in enumerate(model.labels) if key in taxonomy]
            own = reading_in(session, model, dict(zip(masked, ids, strict=True)))
            probabilities = own.probabilities(masked)
            for i, j in columns:
                scored[start : start + len(ids), j] = probabilities[:, i]
        rows, chunk_vectors = vectors_of(session, encoder, ids, at)
        if len(rows):
            vectors = np.zeros((n, chunk_vectors.shape[1]), np.float32) if vectors is None else vectors
            vectors[rows] = chunk_vectors
        progress(start + len(ids), n, "reading the candidates")
    thresholds = model.thresholds if model is not None else {}
    return Candidates(
        ids=pool.ids,
        labels=keys,
        share=pool.share,
        decisions=ledger.decisions,
        tiers=ledger.tiers,
        asserted=ledger.asserted,
        demoted=ledger.demoted,
        scores=ledger.scores,
        probabilities=scored,
        thresholds=np.array([thresholds.get(key, np.nan) for key in keys]) if model is not None else None,
        vectors=vectors,
        languages=languages,
        filters=filters,
        reviews=reviews,
        shortage=shortage,
        centres={keys.index(key): centre for key, centre in centres.items()},
    )


def _chunks(ids: Sequence[uuid.UUID]) -> Iterator[tuple[int, list[uuid.UUID]]]:
    for start in range(0, len(ids), _CHUNK):
        yield start, list(ids[start : start + _CHUNK])


def _texts(
    session: Session, ids: Sequence[uuid.UUID], at: Mapping[uuid.UUID, int], languages: list[str | None]
) -> list[str]:
    t = store.Text
    masked = dict.fromkeys(ids, "")
    for text_id, body, language in session.execute(
        select(t.id, t.masked, t.language).where(t.id == func.any(list(ids)))
    ):
        masked[text_id] = body
        languages[at[text_id]] = language
    return list(masked.values())


def _filters(
    session: Session, ids: Sequence[uuid.UUID], at: Mapping[uuid.UUID, int], keys: Sequence[str]
) -> list[FilterMark]:
    f = store.FilterDecision
    rows = session.execute(
        select(f.text_id, f.label, f.stage, f.kept, f.score, f.cut)
        .where(f.text_id == func.any(list(ids)), f.score.is_not(None), f.cut.is_not(None), f.label.in_(keys))
        .order_by(f.text_id, f.stage, f.label)
    )
    return [
        FilterMark(at[text_id], keys.index(label), stage, kept, float(score or 0), float(cut or 0))
        for text_id, label, stage, kept, score, cut in rows
    ]


def _reviews(
    session: Session, ids: Sequence[uuid.UUID], at: Mapping[uuid.UUID, int], keys: Sequence[str]
) -> list[ReviewMark]:
    v = store.Review
    rows = session.execute(
        select(v.text_id, v.label, v.reason)
        .where(v.text_id == func.any(list(ids)), v.label.in_(keys))
        .order_by(v.text_id, v.label, v.reason)
    )
    return [ReviewMark(at[text_id], keys.index(label), reason) for text_id, label, reason in rows]


class _Ledger:
    """Decisions, tiers and assertions of the candidates, filled in chunk by chunk."""

    def __init__(self, taxonomy: Taxonomy, n: int, consensus: Consensus | None) -> None:
        m = len(taxonomy.keys)
        self._at = {key: j for j, key in enumerate(taxonomy.keys)}
        self._consensus = consensus
        self._excludes = taxonomy.excludes
        self.decisions = np.full((n, m), -1, np.int8)
        self.tiers: list[str] = ["unknown"] * n
        self.asserted = np.zeros((n, m), bool)
        self.demoted = np.zeros((n, m), bool)
        self.scores = np.full((n, m), np.nan)

    def read(self, session: Session, ids: Sequence[uuid.UUID], at: Mapping[uuid.UUID, int]) -> None:
        """Read the judgements of some texts."""
        t = store.Text
        chosen = select(t.id).where(t.id == func.any(list(ids)))
        for text_id, judgements in judgements_by_text(session, texts=chosen):
            self._take(at[text_id], judgements)

    def _take(self, row: int, judgements: Sequence[Judgement]) -> None:
        resolved = resolve(judgements, excludes=self._excludes, consensus=self._consensus)
        decisions = {k: d for k, d in resolved.items() if k in self._at}
        self.tiers[row] = text_tier(decisions)
        for key, decision in decisions.items():
            if decision.value is not None:
                self.decisions[row, self._at[key]] = decision.value
        machines = [judgement for judgement in current_judgements(judgements) if judgement.rater.kind in _MACHINES]
        for judgement in machines:
            self.asserted[row, [self._at[key] for key in judgement.asserted if key in self._at]] = True
            self.demoted[row, [self._at[key] for key in judgement.demoted if key in self._at]] = True
        for kind in reversed(_SCORERS):
            for judgement in machines:
                if judgement.rater.kind is kind:
                    for key, score in judgement.scores.items():
                        if key in self._at and 0 <= float(score) <= 1:
                            self.scores[row, self._at[key]] = float(score)
