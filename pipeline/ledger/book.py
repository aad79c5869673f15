"""Functions that write judgements into the ledger, each once, and read them back.

Nothing here changes or removes a row. A judgement that differs from the last one of the same rater on the same text
under the same external reference becomes its next revision; an equal one is not written again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Judgement, RaterKind, RaterRef
from pipeline.ledger.resolve import FILTERED_KINDS
from pipeline.store.locks import take_rater

#: rows of one statement
_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class NewJudgement:
    """A verdict to record."""

    text_id: uuid.UUID
    asserted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    scores: Mapping[str, float] = field(default_factory=dict)
    explanation: str | None = None
    external_ref: str = ""
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """Numbers of verdicts by what `record` did with them."""

    new: int = 0
    revised: int = 0
    repeated: int = 0

    def __add__(self, other: Recorded) -> Recorded:
        return Recorded(self.new + other.new, self.revised + other.revised, self.repeated + other.repeated)


def rater_id(session: Session, ref: RaterRef, details: Mapping[str, Any] | None = None) -> int:
    """The id of a rater; the rater is added to the store when it is new."""
    session.execute(
        pg_insert(store.Rater)
        .values(kind=ref.kind, name=ref.name, version=ref.version, details=dict(details or {}))
        .on_conflict_do_nothing()
    )
    return session.execute(
        select(store.Rater.id).where(
            store.Rater.kind == ref.kind, store.Rater.name == ref.name, store.Rater.version == ref.version
        )
    ).scalar_one()


def record(
    session: Session,
    rater: int,
    verdicts: Iterable[NewJudgement],
    *,
    taxonomy_version: str,
    run_id: int | None = None,
) -> Recorded:
    """Add verdicts of one rater to the ledger, in the caller's transaction.

    Calling it again with the same verdicts adds nothing.

    Args:
        session: an open session; the caller commits.
        rater: id of the rater, from `rater_id`.
        verdicts: the rater's verdicts.
        taxonomy_version: version of the taxonomy that the rater used.
        run_id: id of the run that records them.
    """
    # Revisions are numbered by reading the last one, so writers for one rater must wait for each other.
    take_rater(session, rater)
    total = Recorded()
    for batch in _batches(verdicts):
        total += _record_batch(session, rater, batch, taxonomy_version, run_id)
    return total


def _batches(verdicts: Iterable[NewJudgement]) -> Iterator[list[NewJudgement]]:
    """Batches in which no text occurs twice under one reference: a revision names the stored row that it supersedes."""
    batch: dict[tuple[uuid.UUID, str], NewJudgement] = {}
    for verdict in verdicts:
        key = (verdict.text_id, verdict.external_ref)
        if key in batch or len(batch) == _BATCH:
            yield list(batch.values())
            batch = {}
        batch[key] = verdict
    if batch:
        yield list(batch.values())


def _record_batch(
    session: Session, rater: int, batch: Sequence[NewJudgement], taxonomy_version: str, run_id: int | None
) -> Recorded:
    last = _last_revisions(session, rater, {verdict.text_id for verdict in batch})
    rows: list[dict[str, Any]] = []
    new = revised = repeated = 0
    for verdict in batch:
        before = last.get((verdict.text_id, verdict.external_ref))
        if before is not None and before.same_as(verdict):
            repeated += 1
            continue
        if before is None and verdict.withdrawn:
            # There is nothing to withdraw.
            continue
        if before is None:
            new += 1
        else:
            revised += 1
        rows.append(
            {
                "rater_id": rater,
                "text_id": verdict.text_id,
                "external_ref": verdict.external_ref,
                "revision": 0 if before is None else before.revision + 1,
                "asserted": sorted(verdict.asserted),
                "denied": sorted(verdict.denied - verdict.asserted),
                "scores": dict(verdict.scores),
                "explanation": verdict.explanation,
                "withdrawn": verdict.withdrawn,
                "supersedes": before.id if before is not None else None,
                "taxonomy_version": taxonomy_version,
                "run_id": run_id,
            }
        )
    if rows:
        session.execute(insert(store.Judgement), rows)
    return Recorded(new, revised, repeated)


@dataclass(frozen=True, slots=True)
class _Last:
    id: int
    revision: int
    asserted: frozenset[str]
    denied: frozenset[str]
    withdrawn: bool

    def same_as(self, verdict: NewJudgement) -> bool:
        return (self.asserted, self.denied, self.withdrawn) == (
            verdict.asserted,
            verdict.denied - verdict.asserted,
            verdict.withdrawn,
        )


def _last_revisions(session: Session, rater: int, text_ids: set[uuid.UUID]) -> dict[tuple[uuid.UUID, str], _Last]:
    j = store.Judgement
    rows = session.execute(
        select(j.text_id, j.external_ref, j.id, j.revision, j.asserted, j.denied, j.withdrawn)
        .where(j.rater_id == rater, j.text_id == func.any(sorted(text_ids)))
        .order_by(j.revision)
    )
    # A later revision replaces an earlier one.
    return {
        (text_id, ref): _Last(id_, revision, frozenset(asserted), frozenset(denied), withdrawn)
        for text_id, ref, id_, revision, asserted, denied, withdrawn in rows
    }


def judgements_by_text(
    session: Session,
    *,
    texts: Select[uuid.UUID] | None = None,
    excluded: bool = False,
    only: ColumnElement[bool] | None = None,
) -> Iterator[tuple[uuid.UUID, list[Judgement]]]:
    """Stream the judgements of each judged text, with the labels that filters rejected, in order of text id.

    Args:
        session: an open session.
        texts: a query of text ids; None: all texts.
        excluded: True: include judgements of excluded raters (sync.quality.exclusion).
        only: a condition on the tables of judgements and raters that judgements must meet; None: all.
    """
    j, r, f = store.Judgement, store.Rater, store.FilterDecision
    demoted = select(func.array_agg(f.label)).where(f.text_id == j.text_id, ~f.kept).correlate(j).scalar_subquery()
    query = (
        select(
            j.text_id,
            j.id,
            r.kind,
            r.name,
            r.version,
            j.asserted,
            j.denied,
            j.external_ref,
            j.revision,
            j.withdrawn,
            j.supersedes,
            j.scores,
            demoted,
        )
        .join(r, r.id == j.rater_id)
        .order_by(j.text_id, j.id)
    )
    if texts is not None:
        query = query.where(j.text_id.in_(texts))
    if only is not None:
        query = query.where(only)
    if not excluded:
        query = query.where(r.excluded_at.is_(None))
    current: uuid.UUID | None = None
    judgements: list[Judgement] = []
    for row in session.execute(query, execution_options={"yield_per": 5_000}):
        if row[0] != current:
            if current is not None:
                yield current, judgements
            current, judgements = row[0], []
        asserted = frozenset(row[5])
        judgements.append(
            Judgement(
                id=row[1],
                rater=RaterRef(RaterKind(row[2]), row[3], row[4]),
                asserted=asserted,
                denied=frozenset(row[6]),
                demoted=frozenset(row[12] or ()) & asserted if row[2] in FILTERED_KINDS else frozenset(),
                external_ref=row[7],
                revision=row[8],
                withdrawn=row[9],
                supersedes=row[10],
                scores=row[11],
            )
        )
    if current is not None:
        yield current, judgements
