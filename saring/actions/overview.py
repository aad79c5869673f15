"""Figures of the overview that read the whole ledger, as plain values for a page."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import func, select

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.ledger.decisions import decided_texts
from pipeline.store.session import open_session
from saring.context import Context

#: days of the chart of answers
DAYS = 60


def label_counts(home: Context) -> dict[str, Any]:
    """Number of texts, and of labels that are believed, by label and tier. It reads every judgement.

    Returns:
        `texts`; `judged`, the texts with a judgement; `labels`, for each label the number of texts that have it, by
        tier; `tiers`, the same for all labels together.
    """
    by_label: dict[str, Counter[str]] = {key: Counter() for key in home.taxonomy.keys}
    judged = 0
    with open_session(home.engine) as session:
        texts = session.scalar(select(func.count()).select_from(store.Text)) or 0
        for text in decided_texts(session, home.taxonomy):
            judged += 1
            for key, decision in text.decisions.items():
                if decision.value or decision.value is None:
                    by_label[key][str(decision.tier)] += 1
    tiers: Counter[str] = Counter()
    for counts in by_label.values():
        tiers.update(counts)
    return {
        "texts": texts,
        "judged": judged,
        "labels": {key: dict(counts) for key, counts in by_label.items()},
        "tiers": dict(tiers),
    }


def answers_a_day(home: Context, *, now: datetime | None = None) -> list[tuple[str, int]]:
    """Number of judgements by people on each of the last days, corrections and withdrawals left out."""
    j, r = store.Judgement, store.Rater
    with open_session(home.engine) as session:
        now = now or session.execute(select(func.now())).scalar_one()
        first = (now - timedelta(days=DAYS - 1)).date()
        day = func.date_trunc("day", j.created_at, "UTC")
        # as numbers: the database knows how much each of them said, and looks for it by the index
        people = session.scalars(select(r.id).where(r.kind == RaterKind.HUMAN)).all()
        rows = session.execute(
            select(day, func.count())
            .where(j.rater_id.in_(people), j.revision == 0, ~j.withdrawn, j.created_at >= first)
            .group_by(day)
        )
        counts = {at.date(): count for at, count in rows}
    return [(str(date), counts.get(date, 0)) for date in (first + timedelta(days=i) for i in range(DAYS))]


def agreement(home: Context) -> dict[str, Any] | None:
    """Krippendorff's alpha of the volunteers, with its interval: on texts that a coin gave to two, else on all.

    None: there are too few texts with two answers.
    """
    from sync.quality.report import quality_report

    with open_session(home.engine) as session:
        report = quality_report(session, home.taxonomy, rng=np.random.default_rng(home.settings.seed))
    for measured, fair in ((report.fair_agreement, True), (report.agreement, False)):
        if measured is not None and measured.overall is not None:
            overall = measured.overall
            return {
                "value": overall.value,
                "low": overall.low,
                "high": overall.high,
                "texts": measured.texts,
                "fair": fair,
            }
    return None
