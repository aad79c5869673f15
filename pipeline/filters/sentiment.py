"""The sentiment filter: a label with a sentiment rule is kept only for texts that can have that sentiment.

The taxonomy names the sentiments that a label allows. A label is rejected when these sentiments together are less
likely than the cut; nothing is deleted, and a random sample of the rejected texts goes to people.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import ModelError
from pipeline.filters.asserted import draw_review, find_asserted, forget_stale
from pipeline.filters.names import REVIEW_REASONS, SENTIMENT
from pipeline.filters.summary import summarise
from pipeline.models.artefact import TrainedModel
from pipeline.store.spans import Span
from pipeline.taxonomy import Taxonomy

STAGE = SENTIMENT
REVIEW_REASON = REVIEW_REASONS[STAGE]
SENTIMENTS = ("negative", "neutral", "positive")
#: Probability of its allowed sentiments from which a label is kept. A cut of one half would reject more than eight
#: right labels for each wrong one, this cut hardly any (docs/decisions/0005-filters.md).
CUT = 0.2
#: texts scored and committed together
CHUNK = 4_000


@dataclass(frozen=True, slots=True)
class SentimentLabel:
    """Result of the rule for one label."""

    label: str
    allowed: tuple[str, ...]
    kept: int
    dropped: int
    in_review: int
    #: probability of the allowed sentiments from which the label is kept
    cut: float = CUT
    #: the reason of a cut that a person set; None: it is that of the run
    by_hand: str | None = None


@dataclass(frozen=True, slots=True)
class SentimentReport:
    """Result of one run."""

    run_id: int
    model: str
    #: texts whose sentiment was found in this run
    scored: int
    labels: tuple[SentimentLabel, ...]


def require_sentiment(model: TrainedModel) -> None:
    """Check that a model is one of sentiment.

    Raises:
        ModelError: it is not.
    """
    if set(model.labels) != set(SENTIMENTS):
        raise ModelError(f"{model.manifest.version} is not a sentiment model: its labels are {', '.join(model.labels)}")


def rules_of(taxonomy: Taxonomy) -> dict[str, tuple[str, ...]]:
    """The sentiments that each label with a rule allows."""
    return {label.key: tuple(label.sentiment) for label in taxonomy if label.sentiment is not None}


def without_sentiment(
    session: Session, keys: Sequence[str], model: TrainedModel, span: Span | None = None
) -> list[uuid.UUID]:
    """Texts with an asserted label that has a rule, whose sentiment this model has not found yet: of all texts or a
    span.

    Leaves the table of `find_asserted` in the transaction.
    """
    find_asserted(session, keys, span)
    return list(
        session.scalars(
            text("""
                SELECT DISTINCT a.text_id FROM asserted_label a
                WHERE NOT EXISTS (
                    SELECT 1 FROM text_sentiment s WHERE s.text_id = a.text_id AND s.model = :model
                ) ORDER BY a.text_id
            """),
            {"model": model.manifest.version},
        )
    )


def score_chunk(session: Session, model: TrainedModel, ids: Sequence[uuid.UUID], run_id: int) -> None:
    """Find the sentiment of at most `CHUNK` texts."""
    columns = [model.labels.index(name) for name in SENTIMENTS]
    t, s = store.Text, store.TextSentiment
    rows = session.execute(select(t.id, t.masked).where(t.id == func.any(list(ids))).order_by(t.id)).all()
    scores = model.probabilities([masked for _, masked in rows])[:, columns].tolist()
    values = [
        {"text_id": id_, "model": model.manifest.version, "run_id": run_id} | dict(zip(SENTIMENTS, row, strict=True))
        for (id_, _), row in zip(rows, scores, strict=True)
    ]
    statement = insert(s)
    new = {name: statement.excluded[name] for name in ("model", "run_id", *SENTIMENTS)}
    session.execute(statement.on_conflict_do_update(index_elements=["text_id"], set_=new), values)


def decide(
    session: Session,
    taxonomy: Taxonomy,
    run_id: int,
    *,
    cut: float,
    review_share: float,
    review_least: int,
    seed: int,
    saved_cuts: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[SentimentLabel, ...]:
    """Write the decisions on every label with a rule, and draw a review sample; all sentiments must be found before.

    Cuts that a person set (`saved_cuts`, as `pipeline.filters.saved_cuts.as_params` gives them) take the place of
    `cut`.
    """
    saved = saved_cuts or {}
    rules = rules_of(taxonomy)
    find_asserted(session, list(rules))
    # Labels whose rule was removed from the taxonomy are included; none of them is in the table.
    forget_stale(session, STAGE, [*rules, *(label.key for label in taxonomy if label.sentiment is None)])
    cuts = {key: float(saved[key]["cut"]) if key in saved else cut for key in rules}
    why = {key: str(saved[key]["reason"]) for key in rules if key in saved}
    counts = {
        key: _decide(session, run_id, number, key, allowed, cuts[key], why.get(key))
        for number, (key, allowed) in enumerate(rules.items(), start=1)
    }
    drawn = draw_review(
        session,
        STAGE,
        list(rules),
        reason=REVIEW_REASON,
        share=review_share,
        least=review_least,
        seed=seed,
        run_id=run_id,
    )
    summarise(session, STAGE, taxonomy.keys)
    return tuple(
        SentimentLabel(key, allowed, *counts[key], drawn.get(key, 0), cuts[key], why.get(key))
        for key, allowed in rules.items()
    )


def _decide(
    session: Session,
    run_id: int,
    number: int,
    key: str,
    allowed: tuple[str, ...],
    cut: float,
    by_hand: str | None,
) -> tuple[int, int]:
    """Write the decisions on one label; return the numbers of kept and rejected texts."""
    values = {"stage": STAGE, "label": key, "number": number, "cut": cut, "run": run_id}
    # The names of columns come from a fixed set.
    score = " + ".join(f"s.{name}" for name in SENTIMENTS if name in allowed)
    shown = f"{cut:.6g}" + (f", {by_hand}" if by_hand else "")
    session.execute(
        text(f"""
            INSERT INTO filter_decision (stage, label, text_id, kept, score, cut, reason, run_id)
            SELECT :stage, :label, a.text_id, {score} >= :cut, {score}, :cut,
                CASE WHEN {score} >= :cut THEN :why_kept ELSE :why_dropped END, :run
            FROM asserted_label a JOIN text_sentiment s ON s.text_id = a.text_id
            WHERE a.label = :number
            ON CONFLICT (stage, label, text_id) DO UPDATE
            SET kept = excluded.kept, score = excluded.score, cut = excluded.cut, reason = excluded.reason,
                run_id = excluded.run_id
        """),  # noqa: S608
        {
            **values,
            "why_kept": f"sentiment can be {' or '.join(allowed)}" + (f" ({by_hand})" if by_hand else ""),
            "why_dropped": f"sentiment is hardly {' or '.join(allowed)} (below {shown})",
        },
    )
    kept, dropped = session.execute(
        text("""
            SELECT count(*) FILTER (WHERE kept), count(*) FILTER (WHERE NOT kept)
            FROM filter_decision WHERE stage = :stage AND label = :label
        """),
        values,
    ).one()
    return kept, dropped
