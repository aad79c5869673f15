"""Estimates of Dawid and Skene's model for each label that has enough votes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.ledger.consensus.rule import Consensus, LabelModel, Method, Skill
from pipeline.ledger.consensus.voices import voices_on
from pipeline.ledger.consensus.votes import Votes
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats
from pipeline.measure.dawid_skene import Fitted, VoteMatrix, fit_dawid_skene

#: least number of voices: with fewer the model has no unique solution
LEAST_VOICES = 3
#: least number of texts that two voices or more judged
LEAST_TEXTS = 100
#: least number of these texts that each voice judged
LEAST_ANSWERS = 50
#: least number of assertions of the label, and of denials
LEAST_VOTES = 30
#: least number of texts that have the label by the model, and of texts that do not
LEAST_LIKELY = 10
#: distance of a skill from 0 and 1: no voice is always right or always wrong
_LEAST_SKILL = 1e-3


@dataclass(frozen=True, slots=True)
class LabelFit:
    """The estimate for one label, or the reason why there is none."""

    #: None: the majority decides the label
    model: LabelModel | None
    #: the reason why there is no model
    fallback: str | None
    #: number of texts that two voices or more judged
    texts: int
    voices: int
    iterations: int = 0
    converged: bool = False


def estimate(votes: Votes, families: Mapping[str, str]) -> tuple[Consensus, dict[str, LabelFit]]:
    """Estimate the consensus by Dawid and Skene's model; also return the result for each label."""
    plain = Consensus(Method.DAWID_SKENE, families=dict(families))
    fits = {label: _fit(votes, column, plain) for column, label in enumerate(votes.labels)}
    labels = {label: fit.model for label, fit in fits.items() if fit.model is not None}
    # Rounded as in the store, so that it equals the consensus that is read back.
    rounded = Consensus.from_dict(Consensus(Method.DAWID_SKENE, labels, plain.families).to_dict())
    return rounded, fits


def _fit(votes: Votes, column: int, plain: Consensus) -> LabelFit:
    voices = voices_on(votes, column, plain)
    spoken = voices.said != UNKNOWN
    shared = spoken.sum(axis=1) >= 2
    busy = (spoken & shared[:, None]).sum(axis=0) >= LEAST_ANSWERS
    verdicts = np.where(busy, voices.said, UNKNOWN)
    shared = (verdicts != UNKNOWN).sum(axis=1) >= 2
    texts, count = int(shared.sum()), int(busy.sum())
    if count < LEAST_VOICES:
        raters = "1 independent rater has" if count == 1 else f"{count} independent raters have"
        reason = f"{raters} {LEAST_ANSWERS} shared texts; {LEAST_VOICES} are needed"
        return LabelFit(None, reason, texts, count)
    if texts < LEAST_TEXTS:
        reason = f"{texts} texts have two independent raters; {LEAST_TEXTS} are needed"
        return LabelFit(None, reason, texts, count)
    if min((verdicts == 1).sum(), (verdicts == 0).sum()) < LEAST_VOTES:
        return LabelFit(None, f"fewer than {LEAST_VOTES} assertions or denials", texts, count)
    fitted = fit_dawid_skene(verdicts[:, busy])
    problem = _problem(fitted, verdicts[:, busy])
    if problem is not None:
        return LabelFit(None, problem, texts, count, fitted.iterations, fitted.converged)
    names = [voices.names[i] for i in np.flatnonzero(busy)]
    return LabelFit(_model(fitted, names), None, texts, count, fitted.iterations, True)


def _problem(fitted: Fitted, verdicts: VoteMatrix) -> str | None:
    """The reason why a solution cannot be trusted; None if it can."""
    if not fitted.converged:
        return f"no convergence in {fitted.iterations} iterations"
    judged = int(np.isfinite(fitted.probability).sum())
    if min(fitted.prevalence, 1 - fitted.prevalence) * judged < LEAST_LIKELY:
        return f"fewer than {LEAST_LIKELY} texts probably have the label, or probably do not"
    weight: Floats = (verdicts != UNKNOWN).sum(axis=0).astype(np.float64)
    youden = fitted.sensitivity + fitted.specificity - 1
    turned: Booleans = youden < 0
    if (weight * youden).sum() <= 0 or weight[turned].sum() * 2 >= weight.sum():
        # The likelihood is the same with presence and absence exchanged, so a solution where most are wrong is refused.
        return "most raters would be worse than chance"
    return None


def _model(fitted: Fitted, names: list[str]) -> LabelModel:
    bounded = [np.clip(rates, _LEAST_SKILL, 1 - _LEAST_SKILL) for rates in (fitted.sensitivity, fitted.specificity)]
    return LabelModel(
        fitted.prevalence,
        {name: Skill(float(yes), float(no)) for name, yes, no in zip(names, *bounded, strict=True)},
    )
