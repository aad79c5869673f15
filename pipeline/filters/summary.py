"""Results of a filter for each label: the cut, the counts and the histogram, computed when a run ends and kept.

To count a million scores takes longer than a page may take, so the numbers are in a table of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters.histogram import Bins, ScoreHistogram, choose_bins, stored


@dataclass(frozen=True, slots=True)
class Summary:
    """Result of the last run of a filter for a label."""

    stage: str
    label: str
    #: the cut of the decisions; None: they have none
    cut: float | None
    kept: int
    dropped: int
    histogram: ScoreHistogram
    run_id: int

    @property
    def total(self) -> int:
        """Texts that were decided on."""
        return self.kept + self.dropped


def summarise(session: Session, stage: str, labels: Sequence[str]) -> None:
    """Compute the summaries of these labels from the decisions, in the caller's transaction."""
    s = store.FilterSummary
    for label in labels:
        counted = _count(session, stage, label)
        if counted is None:
            session.execute(delete(s).where(s.stage == stage, s.label == label))
            continue
        values = {
            "cut": counted.cut,
            "kept": counted.kept,
            "dropped": counted.dropped,
            "first": counted.histogram.bins.first,
            "step": counted.histogram.bins.step,
            "counts": list(counted.histogram.counts),
            "run_id": counted.run_id,
        }
        statement = insert(s).values(stage=stage, label=label, **values)
        session.execute(statement.on_conflict_do_update(index_elements=["stage", "label"], set_=values))


def summaries(session: Session, stage: str | None = None) -> list[Summary]:
    """The summaries of all labels of a filter, or of all filters, in order of filter and label."""
    s = store.FilterSummary
    query = select(s).order_by(s.stage, s.label)
    return [_read(row) for row in session.scalars(query if stage is None else query.where(s.stage == stage))]


def summary_of(session: Session, stage: str, label: str) -> Summary | None:
    """The summary of a label; None: the filter has not decided on it."""
    s = store.FilterSummary
    row = session.scalars(select(s).where(s.stage == stage, s.label == label)).one_or_none()
    return None if row is None else _read(row)


def unsummarised(session: Session) -> list[tuple[str, str]]:
    """Filters and labels with decisions but without a summary: of runs before summaries were kept."""
    rows = session.execute(
        # Each step finds the next pair in the index, where DISTINCT would read every decision.
        text("""
            WITH RECURSIVE pair AS (
                (SELECT stage, label FROM filter_decision ORDER BY stage, label LIMIT 1)
                UNION ALL
                SELECT n.stage, n.label FROM pair p CROSS JOIN LATERAL (
                    SELECT d.stage, d.label FROM filter_decision d WHERE (d.stage, d.label) > (p.stage, p.label)
                    ORDER BY d.stage, d.label LIMIT 1
                ) n
            )
            SELECT p.stage, p.label FROM pair p WHERE NOT EXISTS (
                SELECT FROM filter_summary s WHERE s.stage = p.stage AND s.label = p.label
            )
        """)
    )
    return [(str(stage), str(label)) for stage, label in rows]


def dropped_at(session: Session, stage: str, label: str, cut: float) -> int:
    """The exact number of a label's texts below a cut; it takes longer the more there are."""
    d = store.FilterDecision
    query = select(text("count(*)")).select_from(d).where(d.stage == stage, d.label == label, d.score < stored(cut))
    return int(session.execute(query).scalar_one())


def _count(session: Session, stage: str, label: str) -> Summary | None:
    where = {"stage": stage, "label": label}
    low, high = session.execute(
        text("SELECT min(score), max(score) FROM filter_decision WHERE stage = :stage AND label = :label"), where
    ).one()
    if low is None:
        return None
    bins = choose_bins(low, high)
    rows = session.execute(
        text("""
            SELECT width_bucket(score::float8, CAST(:edges AS float8[])) - 1 AS bin, count(*),
                count(*) FILTER (WHERE kept), max(cut), max(run_id)
            FROM filter_decision WHERE stage = :stage AND label = :label AND score IS NOT NULL GROUP BY bin
        """),
        {**where, "edges": [stored(edge) for edge in bins.edges]},
    ).all()
    counts = [0] * bins.number
    for place, count, *_ in rows:
        counts[place] = count
    kept = sum(row[2] for row in rows)
    cuts = [row[3] for row in rows if row[3] is not None]
    total = sum(counts)
    return Summary(
        stage,
        label,
        stored(max(cuts)) if cuts else None,
        kept,
        total - kept,
        ScoreHistogram(bins, tuple(counts)),
        max(row[4] for row in rows),
    )


def _read(row: store.FilterSummary) -> Summary:
    histogram = ScoreHistogram(Bins(row.first, row.step, len(row.counts)), tuple(row.counts))
    cut = None if row.cut is None else stored(row.cut)
    return Summary(row.stage, row.label, cut, row.kept, row.dropped, histogram, row.run_id)
