"""The report on all raters of a store, measured under the consensus in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import distinct, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterRef
from pipeline.ledger.consensus.fit import rater_details
from pipeline.ledger.consensus.rule import Consensus, Method
from pipeline.ledger.consensus.saved import newest
from pipeline.ledger.consensus.voices import families
from pipeline.ledger.consensus.votes import Gold, read_votes
from pipeline.measure.metrics import rounded
from pipeline.plural import counted
from pipeline.progress import Progress, silent
from pipeline.raters.worth import RaterWorth, Spent, worth
from pipeline.taxonomy import Taxonomy

#: tokens and cost of a rater's answers so far, by the rater's id
Spending = Mapping[int, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class RaterReport:
    """All raters, and the consensus that they were measured under."""

    raters: Sequence[RaterWorth]
    #: number of texts that were read, and of those with gold
    texts: int
    gold: int
    #: the raters whose decisions are gold
    gold_by: Gold
    #: hash of the consensus in force; None: none was fitted, machines must agree, and these figures use the majority
    consensus: str | None
    method: Method
    #: the reason for that method
    why: str
    fitted_at: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        for row, rater in zip(plain["raters"], self.raters, strict=True):
            row["cost_per_1000_texts"] = rater.spent.per_thousand if rater.spent is not None else None
        return plain


def rater_report(
    session: Session,
    taxonomy: Taxonomy,
    *,
    people: bool = False,
    prices: Mapping[str, float] | None = None,
    spending: Spending | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> RaterReport:
    """Measure every rater on the judgements in the store.

    Args:
        session: an open session.
        taxonomy: the labels.
        people: True: measure people too.
        prices: prices of 1,000 texts by the name of the rater; they replace other costs.
        spending: tokens and cost from stored replies; they replace those in the raters' details.
        seed: seed of the resamples.
        progress: called from time to time.
    """
    votes = read_votes(session, taxonomy, people=people, progress=progress)
    details = rater_details(session)
    row = newest(session)
    if row is not None:
        consensus, why, at = Consensus.from_dict(row.content), str(row.report.get("why", "")), row.created_at
    else:
        consensus, why, at = (
            Consensus(families=families(votes, details)),
            "no consensus model yet, so the figures use a majority vote",
            None,
        )
    progress(0, None, f"measuring raters on {counted(votes.texts, 'text')}")
    judged = list(_judged_texts(session))
    totals = {ref: texts for _, ref, texts in judged}
    measured = worth(votes, consensus, spent_on(judged, details, prices or {}, spending or {}), seed=seed)
    return RaterReport(
        # The number of judged texts includes those that were not read for the figures.
        raters=[replace(rater, judged=totals[RaterRef(rater.kind, rater.name, rater.version)]) for rater in measured],
        texts=votes.texts,
        gold=votes.gold_texts(),
        gold_by=votes.gold,
        consensus=consensus.version if row is not None else None,
        method=consensus.method,
        why=why,
        fitted_at=at,
    )


def spent_on(
    judged: Iterable[tuple[int, RaterRef, int]],
    details: Mapping[RaterRef, Mapping[str, Any]],
    prices: Mapping[str, float],
    spending: Spending,
) -> dict[RaterRef, Spent]:
    """Known tokens and costs of raters, each from the first of several places that has it.

    Costs: `prices`, `spending`, then `cost` (in all) and `cost_per_1000_texts` in a rater's details. Tokens:
    `spending`, then `tokens` in the details.

    Args:
        judged: id and identity of each rater, with the number of texts that it judged.
        details: details of each rater in the store.
        prices: see `rater_report`.
        spending: see `rater_report`.
    """
    spent = {}
    for id_, ref, texts in judged:
        known = details.get(ref, {})
        tokens, cost = spending.get(id_, (known.get("tokens"), known.get("cost")))
        price = prices.get(ref.name, known.get("cost_per_1000_texts") if cost is None else None)
        if price is not None:
            cost = float(price) * texts / 1_000
        if tokens is not None or cost is not None:
            spent[ref] = Spent(texts, None if tokens is None else int(tokens), None if cost is None else float(cost))
    return spent


def _judged_texts(session: Session) -> Iterator[tuple[int, RaterRef, int]]:
    """Id and identity of each rater, with the number of texts that it judged, in the sample or not."""
    j, r = store.Judgement, store.Rater
    query = select(r.id, r.kind, r.name, r.version, func.count(distinct(j.text_id))).join(j, j.rater_id == r.id)
    for id_, kind, name, version, texts in session.execute(query.group_by(r.id)):
        yield id_, RaterRef(kind, name, version), texts
