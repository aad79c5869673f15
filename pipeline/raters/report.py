"""All raters of a store at once: read, measure, and say under which consensus."""

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
from pipeline.progress import Progress, silent
from pipeline.raters.worth import RaterWorth, Spent, worth
from pipeline.taxonomy import Taxonomy

#: id of a rater to what its answers took so far: tokens, and money
Spending = Mapping[int, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class RaterReport:
    """Every rater, and the consensus that they were measured under."""

    raters: Sequence[RaterWorth]
    #: texts that were read, and those of them with gold
    texts: int
    gold: int
    #: whose word gold is
    gold_by: Gold
    #: hash of the consensus in force; None: none was fitted, machines must agree, and these figures are by majority
    consensus: str | None
    method: Method
    #: why that method
    why: str
    fitted_at: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        for row, one in zip(plain["raters"], self.raters, strict=True):
            row["cost_per_1000_texts"] = one.spent.per_thousand if one.spent is not None else None
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
    """Measure every rater on what the store holds.

    Args:
        session: an open session.
        taxonomy: the labels.
        people: measure people too.
        prices: of 1,000 texts, by the name of the rater; they replace what is known otherwise.
        spending: what raters took, as whoever asked them kept account of it; it replaces what their details say.
        seed: of the resamples.
        progress: told now and then.
    """
    votes = read_votes(session, taxonomy, people=people, progress=progress)
    details = rater_details(session)
    row = newest(session)
    if row is not None:
        consensus, why, at = Consensus.from_dict(row.content), str(row.report.get("why", "")), row.created_at
    else:
        consensus, why, at = Consensus(families=families(votes, details)), "none was fitted yet", None
    progress(0, None, "measuring what each is worth")
    judged = list(_judged_texts(session))
    totals = {ref: texts for _, ref, texts in judged}
    found = worth(votes, consensus, spent_on(judged, details, prices or {}, spending or {}), seed=seed)
    return RaterReport(
        # what was not read for the figures was judged all the same
        raters=[replace(one, judged=totals[RaterRef(one.kind, one.name, one.version)]) for one in found],
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
    """What is known of the raters' tokens and costs, by the first of these that says something.

    Of money: `prices`, `spending`, then `cost` (in all) and `cost_per_1000_texts` among a rater's details. Of tokens:
    `spending`, then `tokens` among the details.

    Args:
        judged: of each rater its id, who it is, and how many texts it judged.
        details: what the store remembers of each.
        prices: as in `rater_report`.
        spending: the same.
    """
    found = {}
    for id_, ref, texts in judged:
        known = details.get(ref, {})
        tokens, cost = spending.get(id_, (known.get("tokens"), known.get("cost")))
        price = prices.get(ref.name, known.get("cost_per_1000_texts") if cost is None else None)
        if price is not None:
            cost = float(price) * texts / 1_000
        if tokens is not None or cost is not None:
            found[ref] = Spent(texts, None if tokens is None else int(tokens), None if cost is None else float(cost))
    return found


def _judged_texts(session: Session) -> Iterator[tuple[int, RaterRef, int]]:
    """Each rater's id and how many texts it judged, those that are not read for the report among them."""
    j, r = store.Judgement, store.Rater
    query = select(r.id, r.kind, r.name, r.version, func.count(distinct(j.text_id))).join(j, j.rater_id == r.id)
    for id_, kind, name, version, texts in session.execute(query.group_by(r.id)):
        yield id_, RaterRef(kind, name, version), texts
