"""All raters of a store at once: read, measure, and say under which consensus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from pipeline.classifiers.protocol import UNKNOWN
from pipeline.consensus.book import newest
from pipeline.consensus.fit import rater_details
from pipeline.consensus.voices import families
from pipeline.consensus.votes import Votes, read_votes
from pipeline.consensus.worth import RaterWorth, Spent, worth
from pipeline.learning.metrics import rounded
from pipeline.ledger.consensus import Consensus, Method
from pipeline.ledger.resolve import RaterRef
from pipeline.progress import Progress, silent
from pipeline.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class RaterReport:
    """Every rater, and the consensus that they were measured under."""

    raters: Sequence[RaterWorth]
    #: texts that were read, and those of them with gold
    texts: int
    gold: int
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
    seed: int = 0,
    progress: Progress = silent,
) -> RaterReport:
    """Measure every rater on what the store holds.

    Args:
        session: an open session.
        taxonomy: the labels.
        people: measure people too.
        prices: US dollars for 1,000 texts, by the name of the rater; they replace what the store knows.
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
    return RaterReport(
        raters=worth(votes, consensus, spent_on(votes, details, prices or {}), seed=seed),
        texts=votes.texts,
        gold=int((votes.truth != UNKNOWN).any(axis=1).sum()),
        consensus=consensus.version if row is not None else None,
        method=consensus.method,
        why=why,
        fitted_at=at,
    )


def spent_on(
    votes: Votes, details: Mapping[RaterRef, Mapping[str, Any]], prices: Mapping[str, float]
) -> dict[RaterRef, Spent]:
    """What is known of the raters' costs: a price that is given, else `usd_per_1000_texts` among a rater's details."""
    found = {}
    for ref in votes.raters:
        price = prices.get(ref.name, details.get(ref, {}).get("usd_per_1000_texts"))
        if price is not None:
            texts = int(votes.of(ref).sum())
            found[ref] = Spent(texts, cost=float(price) * texts / 1_000)
    return found
