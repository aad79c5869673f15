"""Estimating Dawid and Skene's model for each label, where there is enough to estimate it from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.ledger.consensus.rule import Consensus, LabelModel, Method, Skill
from pipeline.ledger.consensus.voices import voices_on
from pipeline.ledger.consensus.votes import Votes
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats
from pipeline.measure.dawid_skene import Fitted, VoteMatrix, fit_dawid_skene

#: with fewer voices than this the model has no one solution
LEAST_VOICES = 3
#: texts of at least two voices, of which a voice must have judged ...
LEAST_TEXTS = 100
#: ... so many
LEAST_ANSWERS = 50
#: assertions of the label, and denials
LEAST_VOTES = 30
#: texts that have the label by the model, and that don't
LEAST_LIKELY = 10
#: nobody is taken to be infallible: bounds of a skill
_LEAST_SKILL = 1e-3


@dataclass(frozen=True, slots=True)
class LabelFit:
    """What came of one label."""

    #: None: the majority decides the label
    model: LabelModel | None
    #: why there is no model
    fallback: str | None
    #: texts with two voices or more
    texts: int
    voices: int
    iterations: int = 0
    converged: bool = False


def estimate(votes: Votes, families: Mapping[str, str]) -> tuple[Consensus, dict[str, LabelFit]]:
    """The consensus by Dawid and Skene's model, and what came of each label."""
    plain = Consensus(Method.DAWID_SKENE, families=dict(families))
    fits = {label: _fit(votes, column, plain) for column, label in enumerate(votes.labels)}
    labels = {label: fit.model for label, fit in fits.items() if fit.model is not None}
    # as it will be read back
    rounded = Consensus.from_dict(Consensus(Method.DAWID_SKENE, labels, plain.families).to_dict())
    return rounded, fits


def _fit(votes: Votes, column: int, plain: Consensus) -> LabelFit:
    voices = voices_on(votes, column, plain)
    spoken = voices.said != UNKNOWN
    shared = spoken.sum(axis=1) >= 2
    busy = (spoken & shared[:, None]).sum(axis=0) >= LEAST_ANSWERS
    said = np.where(busy, voices.said, UNKNOWN)
    shared = (said != UNKNOWN).sum(axis=1) >= 2
    texts, count = int(shared.sum()), int(busy.sum())
    if count < LEAST_VOICES:
        return LabelFit(
            None, f"{count} voices with {LEAST_ANSWERS} shared texts, {LEAST_VOICES} are needed", texts, count
        )
    if texts < LEAST_TEXTS:
        return LabelFit(None, f"{texts} texts of two voices, {LEAST_TEXTS} are needed", texts, count)
    if min((said == 1).sum(), (said == 0).sum()) < LEAST_VOTES:
        return LabelFit(None, f"fewer than {LEAST_VOTES} assertions or denials", texts, count)
    fitted = fit_dawid_skene(said[:, busy])
    wrong = _doubt(fitted, said[:, busy])
    if wrong is not None:
        return LabelFit(None, wrong, texts, count, fitted.iterations, fitted.converged)
    names = [voices.names[i] for i in np.flatnonzero(busy)]
    return LabelFit(_model(fitted, names), None, texts, count, fitted.iterations, True)


def _doubt(fitted: Fitted, said: VoteMatrix) -> str | None:
    """Why a solution is not to be trusted; None if nothing speaks against it."""
    if not fitted.converged:
        return f"no convergence in {fitted.iterations} iterations"
    judged = int(np.isfinite(fitted.probability).sum())
    if min(fitted.prevalence, 1 - fitted.prevalence) * judged < LEAST_LIKELY:
        return f"fewer than {LEAST_LIKELY} texts are likely to have it, or not to"
    weight: Floats = (said != UNKNOWN).sum(axis=0).astype(np.float64)
    youden = fitted.sensitivity + fitted.specificity - 1
    turned: Booleans = youden < 0
    if (weight * youden).sum() <= 0 or weight[turned].sum() * 2 >= weight.sum():
        # the likelihood is the same with presence and absence exchanged: trust the solution where most are right
        return "most voices would be worse than chance"
    return None


def _model(fitted: Fitted, names: list[str]) -> LabelModel:
    bounded = [np.clip(one, _LEAST_SKILL, 1 - _LEAST_SKILL) for one in (fitted.sensitivity, fitted.specificity)]
    return LabelModel(
        fitted.prevalence,
        {name: Skill(float(yes), float(no)) for name, yes, no in zip(names, *bounded, strict=True)},
    )
