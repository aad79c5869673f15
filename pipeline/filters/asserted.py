"""Shared parts of the filters: the labels that they check, and the samples that go to people."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.ledger.resolve import FILTERED_KINDS
from pipeline.store.spans import Span


def find_asserted(session: Session, keys: Sequence[str], span: Span | None = None) -> None:
    """Collect into `asserted_label` (number of the label in `keys`, from 1; text) what raters of the filtered kinds
    currently assert, of all texts or of those in `span`. The table lives as long as the transaction.
    """
    session.execute(
        text(f"""
            CREATE TEMP TABLE asserted_label ON COMMIT DROP AS
            SELECT DISTINCT array_position(CAST(:labels AS text[]), label)::smallint AS label, j.text_id
            FROM current_judgement j, unnest(j.asserted) AS label
            WHERE j.kind = ANY(CAST(:kinds AS text[])) AND label = ANY(CAST(:labels AS text[])) {_within("j", span)}
        """),  # noqa: S608 - conditions on ids, their values apart
        {"labels": list(keys), "kinds": sorted(FILTERED_KINDS), **_bounds(span)},
    )
    # PostgreSQL never analyses a temporary table by itself, and the size of this one matters for the joins that follow.
    session.execute(text("ANALYZE asserted_label"))


def forget_stale(session: Session, stage: str, keys: Sequence[str], span: Span | None = None) -> None:
    """Remove a stage's decisions on labels of `keys` that are no longer asserted; `find_asserted` comes before, with
    the same span."""
    session.execute(
        text(f"""
            DELETE FROM filter_decision d
            WHERE d.stage = :stage AND d.label = ANY(CAST(:labels AS text[])) {_within("d", span)} AND NOT EXISTS (
                SELECT 1 FROM asserted_label a
                WHERE a.text_id = d.text_id AND a.label = array_position(CAST(:labels AS text[]), d.label)
            )
        """),  # noqa: S608 - conditions on ids, their values apart
        {"stage": stage, "labels": list(keys), **_bounds(span)},
    )


def _within(table: str, span: Span | None) -> str:
    """A condition that keeps a table's `text_id` in the span, to be added to others."""
    lower = f"AND {table}.text_id >= :lower " if span is not None and span.lower is not None else ""
    upper = f"AND {table}.text_id < :upper" if span is not None and span.upper is not None else ""
    return lower + upper


def _bounds(span: Span | None) -> dict[str, uuid.UUID]:
    """The values of that condition."""
    limits = {} if span is None else {"lower": span.lower, "upper": span.upper}
    return {name: value for name, value in limits.items() if value is not None}


def draw_review(
    session: Session,
    stage: str,
    keys: Sequence[str],
    *,
    reason: str,
    share: float,
    least: int,
    seed: int,
    run_id: int,
) -> dict[str, int]:
    """Draw for people a simple random sample of the texts that a stage rejected for each label; return the counts.

    The sample is the texts with the lowest keyed hash: the same seed draws the same texts, and when more are rejected
    later, texts that were drawn before tend to stay drawn. A text that several draws took has the largest of their
    inclusion probabilities: the hash lies below the largest of their limits (Ohlsson 1995, "Coordination of samples
    using permanent random numbers").
    """
    rows = session.execute(
        text("""
            WITH dropped AS (
                SELECT label, text_id, count(*) OVER own AS total,
                    row_number() OVER (own ORDER BY hashtextextended(label || text_id::text, :seed)) AS place
                FROM filter_decision
                WHERE stage = :stage AND label = ANY(CAST(:labels AS text[])) AND NOT kept
                WINDOW own AS (PARTITION BY label)
            ), sized AS (
                SELECT *, least(total, greatest(:least, ceil(total * CAST(:share AS float8)))) AS size FROM dropped
            ), drawn AS (
                SELECT * FROM sized WHERE place <= size
            ), written AS (
                INSERT INTO review (text_id, label, reason, inclusion_probability, run_id)
                SELECT text_id, label, :reason, size / total, :run FROM drawn
                ON CONFLICT (text_id, label, reason) DO UPDATE
                SET inclusion_probability = excluded.inclusion_probability
                WHERE review.inclusion_probability < excluded.inclusion_probability
            )
            SELECT label, count(*) FROM drawn GROUP BY label
        """),
        {
            "stage": stage,
            "labels": list(keys),
            "reason": reason,
            "share": share,
            "least": least,
            "seed": seed,
            "run": run_id,
        },
    )
    return {str(label): int(count) for label, count in rows}
