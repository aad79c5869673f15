"""From evidence to a probability: one logistic regression over all labels, with fixed or fitted weights. Pure.

The fixed weights are used until people have judged enough texts to measure them (docs/preannotation.md gives the
reasons). Fitted ones are the most probable given people's decisions, with the fixed ones as the centre of a normal
prior, so a source without judgements in the data keeps its fixed weight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pipeline.measure.arrays import UNKNOWN, Floats
from pipeline.measure.metrics import calibration_error
from pipeline.preannotation.evidence import Evidence, Source

#: columns of the features
FEATURES = ("champion", "no_champion", *Source, "demoted", "intercept")
_FIXED = {
    "champion": 1.0,
    "no_champion": -1.5,
    Source.LLM: 3.0,
    Source.BOOTSTRAP: 1.8,
    Source.PSEUDO: 3.5,
    Source.EXTERNAL: 4.0,
    "demoted": 0.0,
    "intercept": 0.0,
}
#: features whose weight is never negative: an assertion never makes a label less likely
_NEVER_NEGATIVE = frozenset({"champion", *Source})
#: standard deviation of a weight around its fixed value
_PRIOR = 1.0
#: largest logit of the champion that counts: a probability of 0.999
_LARGEST_LOGIT = 6.9
_FOLDS = 5
#: decisions by people that are needed before weights are fitted
LEAST_PAIRS, LEAST_POSITIVES = 200, 20


@dataclass(frozen=True, slots=True)
class Policy:
    """Weights of the evidence, and what they were fitted on."""

    weights: Mapping[str, float]
    #: pairs, positives, texts and held-out figures; or why the weights are the fixed ones
    fitted_on: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Name of the weights: equal weights have equal names."""
        if dict(self.weights) == _FIXED:
            return "fixed"
        weights = ",".join(f"{name}={self.weights[name]:.9g}" for name in FEATURES)
        return "fitted" + hashlib.blake2b(weights.encode(), digest_size=4).hexdigest()

    def probabilities(self, features: Floats) -> Floats:
        """Of features [..., FEATURES]: [...]."""
        return np.asarray(expit(features @ np.array([self.weights[name] for name in FEATURES])))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `from_dict` takes them."""
        return {"weights": {name: float(self.weights[name]) for name in FEATURES}, "fitted_on": dict(self.fitted_on)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Policy:
        """The policy that `to_dict` described."""
        return cls({name: float(values["weights"][name]) for name in FEATURES}, dict(values.get("fitted_on") or {}))


def default_policy(why: str = "nothing was fitted") -> Policy:
    """The fixed weights; `why` is the reason why no others are used."""
    return Policy(dict(_FIXED), {"reason": why})


def features_of(evidence: Sequence[Evidence], champion: Floats, labels: Sequence[str]) -> Floats:
    """Features of each text and label: [texts, labels, FEATURES].

    Args:
        evidence: of each text.
        champion: [texts, labels], the champion's calibrated probability; nan where it does not know the label.
        labels: keys of the columns.
    """
    features = np.zeros((len(evidence), len(labels), len(FEATURES)))
    known = np.isfinite(champion)
    likely = np.clip(np.where(known, champion, 0.5), 1e-9, 1 - 1e-9)
    features[..., 0] = np.clip(np.log(likely) - np.log1p(-likely), -_LARGEST_LOGIT, _LARGEST_LOGIT)
    features[..., 1] = ~known
    features[..., FEATURES.index("intercept")] = 1.0
    columns = {label: i for i, label in enumerate(labels)}
    for row, of_text in enumerate(evidence):
        for label, votes in of_text.votes.items():
            if label in columns:
                for source, vote in votes.items():
                    features[row, columns[label], FEATURES.index(source)] = vote
        for label in of_text.assertions:
            if label in columns and of_text.demoted(label):
                features[row, columns[label], FEATURES.index("demoted")] = 1.0
    return features


def fit_weights(features: Floats, truth: NDArray[np.bool_]) -> dict[str, float]:
    """The most probable weights given [pairs, FEATURES] and what people decided, under the prior."""
    # It takes half a second to load, and only fitting needs it.
    from scipy.optimize import minimize

    fixed = np.array([_FIXED[name] for name in FEATURES])
    target = truth.astype(np.float64)

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = features @ weights
        away = (weights - fixed) / _PRIOR**2
        value = float((np.logaddexp(0, logits) - target * logits).sum() + 0.5 * (away * (weights - fixed)).sum())
        return value, features.T @ (expit(logits) - target) + away

    bounds = [(0.0, None) if name in _NEVER_NEGATIVE else (None, None) for name in FEATURES]
    result = minimize(loss, fixed, jac=True, method="L-BFGS-B", bounds=bounds)
    return {name: float(weight) for name, weight in zip(FEATURES, result.x, strict=True)}


def choose_policy(features: Floats, truth: NDArray[np.int8], *, champion: str | None) -> Policy:
    """Fitted weights if people have decided enough and held-out texts are better described by them; else the fixed.

    Args:
        features: [texts, labels, FEATURES], texts in an order that is independent of their content.
        truth: [texts, labels] as people decided; 1, 0 or unknown.
        champion: version of the model whose probabilities went in.
    """
    known = truth != UNKNOWN
    pairs, positives = int(known.sum()), int((truth == 1).sum())
    about: dict[str, Any] = {"champion": champion, "texts": int(known.any(axis=1).sum())}
    about |= {"pairs": pairs, "positives": positives}
    if pairs < LEAST_PAIRS or positives < LEAST_POSITIVES or pairs == positives:
        why = f"people decided {pairs} usable pairs of text and label, {positives} of them positive"
        return default_policy(f"{why}; {LEAST_PAIRS} and {LEAST_POSITIVES} are needed")
    fold = np.arange(len(truth)) % _FOLDS
    held_out, fixed = np.zeros(truth.shape), default_policy().probabilities(features)
    for each in range(_FOLDS):
        learn = known & (fold != each)[:, None]
        fitted = Policy(fit_weights(features[learn], truth[learn] == 1))
        held_out[fold == each] = fitted.probabilities(features[fold == each])
    answers = truth[known] == 1
    about |= {
        "held_out_log_loss": _log_loss(held_out[known], answers),
        "fixed_log_loss": _log_loss(fixed[known], answers),
        "held_out_calibration_error": calibration_error(held_out[known], answers),
        "fixed_calibration_error": calibration_error(fixed[known], answers),
    }
    if about["held_out_log_loss"] >= about["fixed_log_loss"]:
        return Policy(dict(_FIXED), about | {"reason": "fitted weights describe held-out texts no better"})
    return Policy(fit_weights(features[known], answers), about)


def _log_loss(probabilities: Floats, truth: NDArray[np.bool_]) -> float:
    likely = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return float(-np.mean(np.where(truth, np.log(likely), np.log1p(-likely))))
