"""The stage that fits the consensus: estimate, compare on gold, choose, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterRef
from pipeline.ledger.consensus.combine import combine
from pipeline.ledger.consensus.compare import Contest, contest
from pipeline.ledger.consensus.estimate import LabelFit, estimate
from pipeline.ledger.consensus.rule import Consensus, Method
from pipeline.ledger.consensus.saved import put_in_force
from pipeline.ledger.consensus.voices import families
from pipeline.ledger.consensus.votes import LEAST_GOLD, Gold, Votes, read_votes
from pipeline.ledger.resolve import WEIGHED_KINDS
from pipeline.plural import counted
from pipeline.progress import Progress, silent
from pipeline.runs.record import stage_run
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy

STAGE = "consensus"
#: a method, or `auto`: the better one
Choice = Literal["auto", "majority", "dawid-skene"]


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted consensus, and the reason for its method."""

    consensus: Consensus
    #: the reason, as a phrase
    why: str
    #: number of texts with a vote of a machine
    texts: int
    #: number of them with gold
    gold: int
    gold_by: Gold
    #: majority first, Dawid and Skene second; None if there is too little gold, or no label has estimates
    contest: Contest | None
    labels: Mapping[str, LabelFit]

    def to_dict(self) -> dict[str, Any]:
        """The fit as plain values."""
        return {
            "version": self.consensus.version,
            "method": str(self.consensus.method),
            "why": self.why,
            "texts": self.texts,
            "gold": self.gold,
            "gold_by": str(self.gold_by),
            "contest": self.contest.to_dict() if self.contest is not None else None,
            "families": dict(self.consensus.families),
            "labels": {key: asdict(fit) for key, fit in self.labels.items()},
        }


def choose(
    votes: Votes,
    details: Mapping[RaterRef, Mapping[str, Any]],
    *,
    choice: Choice = "auto",
    rng: np.random.Generator,
) -> Fit:
    """Choose the consensus for some votes.

    Dawid and Skene's model is chosen only if the interval of the difference in macro F1 on gold is above zero, and
    that in macro average precision is not below zero; otherwise the simpler majority is chosen.

    Args:
        votes: the votes of machines, with gold.
        details: details of each rater in the store.
        choice: `auto`, or the method to use without a comparison.
        rng: draws the resamples.
    """
    weighed, fits = estimate(votes, families(votes, details))
    majority = Consensus(Method.MAJORITY, families=weighed.families)
    gold = votes.gold_texts()
    measured = None
    if weighed.labels and gold >= LEAST_GOLD:
        measured = contest(combine(votes, majority), combine(votes, weighed), votes.truth, votes.labels, rng=rng)
    if choice != "auto":
        why = "it was requested"
        chosen = weighed if choice == "dawid-skene" else majority
    elif not weighed.labels:
        chosen, why = majority, _no_model(fits)
    elif measured is None or not measured.f1:
        chosen, why = majority, f"too few gold texts to compare the methods on (n={gold})"
    else:
        better = measured.macro_f1.difference.low > 0 and not measured.macro_average_precision.difference.high < 0
        chosen = weighed if better else majority
        why = _reason(measured, votes.gold, better=better)
    return Fit(chosen, why, votes.texts, gold, votes.gold, measured, fits)


def fit_consensus(
    engine: Engine,
    taxonomy: Taxonomy,
    *,
    choice: Choice = "auto",
    seed: int = 0,
    progress: Progress = silent,
) -> Fit:
    """Fit the consensus to the ledger, and put it in force.

    Raises:
        RunConflict: another fit is running.
    """
    with stage_run(engine, STAGE, params={"choice": choice}, progress=progress) as run:
        with open_session(engine) as session:
            votes = read_votes(session, taxonomy, progress=progress)
            details = rater_details(session)
        run.advance(0, None, f"fitting the consensus to {counted(votes.texts, 'text')}")
        fit = choose(votes, details, choice=choice, rng=np.random.default_rng(seed))
        with open_session(engine) as session, session.begin():
            new = put_in_force(session, fit.consensus, fit.to_dict(), run_id=run.id)
            run.counts = {"texts": fit.texts, "gold": fit.gold, "version": fit.consensus.version, "new": new}
            run.save(session)
    return fit


def several_raters(session: Session) -> bool:
    """True where there are judgements to combine: of two raters of one kind that a consensus may weigh."""
    j, r = store.Judgement, store.Rater
    names = [
        session.scalars(
            select(r.name)
            .where(r.kind == kind, r.excluded_at.is_(None), select(j.id).where(j.rater_id == r.id).exists())
            .distinct()
        ).all()
        for kind in WEIGHED_KINDS
    ]
    return any(len(raters) > 1 for raters in names)


def rater_details(session: Session) -> dict[RaterRef, Mapping[str, Any]]:
    """Details of every rater in the store, such as its model."""
    r = store.Rater
    return {
        RaterRef(kind, name, version): details
        for kind, name, version, details in session.execute(select(r.kind, r.name, r.version, r.details))
    }


def without(fit: Consensus, votes: Votes, rater: RaterRef) -> Consensus:
    """The same method, fitted to the same votes without those of a rater."""
    fewer = votes.without(rater)
    if fit.method is Method.MAJORITY:
        return fit
    weighed, _ = estimate(fewer, fit.families)
    return replace(weighed, families=fit.families)


def _no_model(fits: Mapping[str, LabelFit]) -> str:
    reasons = [fit.fallback for fit in fits.values() if fit.fallback is not None]
    common = max(sorted(set(reasons)), key=reasons.count) if reasons else "there are no votes"
    return f"no label allows more: {common}"


def _reason(measured: Contest, gold: Gold, *, better: bool) -> str:
    f1 = measured.macro_f1
    gap = f1.difference
    figures = (
        f"macro F1 {f1.second.value:.3f} by Dawid and Skene's model, {f1.first.value:.3f} by the majority, "
        f"difference {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] on {measured.texts:,} texts with gold ({gold})"
    )
    return figures if better else f"the model is not better: {figures}"
