"""A network and a linear classifier of n-grams together: each sees what the other misses.

N-grams know spellings by heart that a vocabulary breaks up; a network knows words that are alike. A label's decision is
a weighted sum of both (stacking; Wolpert 1992, "Stacked generalization"), with weights fitted on texts that neither
learnt from. The folder is the network's, so that other programs read that as it is, with `model.skops` and
`combination.json` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from pipeline.errors import ModelError, first_line
from pipeline.measure.arrays import UNKNOWN, Floats, LabelMatrix, Scores
from pipeline.models.linear import LinearClassifier, read_linear
from pipeline.models.protocol import Encode
from pipeline.models.transformer.classifier import TransformerClassifier

#: how the parts are joined; a folder with it holds a combination
COMBINATION = "combination.json"
#: strength of the pull to equal weights, in texts: with so few, both parts count the same
_TEXTS = 20.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """The weight of each part's decision for each label: float64 [labels], not negative."""

    ngrams: Floats
    network: Floats


class CombinedClassifier:
    """See Classifier. Its backend is the network's, whose form (32 or 8 bits) it has."""

    def __init__(self, network: TransformerClassifier, linear: LinearClassifier, mixture: Mixture) -> None:
        if network.labels != linear.labels or len(network.labels) != len(mixture.ngrams):
            raise ModelError("the parts of the model have different labels: fetch or train it again")
        self.network, self.linear, self.mixture = network, linear, mixture

    @property
    def backend(self) -> str:
        """The network's."""
        return self.network.backend

    @property
    def labels(self) -> tuple[str, ...]:
        """Keys, in the order of the columns of `decisions`."""
        return self.network.labels

    def encoding(self, wrap: Callable[[Encode], Encode]) -> CombinedClassifier:
        """See WithVectors."""
        return CombinedClassifier(self.network, self.linear.encoding(wrap), self.mixture)

    def decisions(self, texts: Sequence[str]) -> Scores:
        """Weighted sums of the parts' decisions: [texts, labels]."""
        return mix(self.mixture, self.linear.decisions(texts), self.network.decisions(texts))

    def state(self) -> Mapping[str, Any]:
        """See Classifier."""
        own = {f"ngrams.{name}": value for name, value in self.linear.state().items()}
        weights = {"mixture.ngrams": self.mixture.ngrams, "mixture.network": self.mixture.network}
        return {**self.network.state(), **own, **weights}

    def write(self, folder: Path) -> None:
        """See Classifier."""
        self.network.write(folder)
        self.linear.write(folder)
        weights = {
            label: {"ngrams": float(ngrams), "network": float(network)}
            for label, ngrams, network in zip(self.labels, self.mixture.ngrams, self.mixture.network, strict=True)
        }
        (folder / COMBINATION).write_text(json.dumps(weights, indent=2) + "\n", encoding="utf-8")


def mix(mixture: Mixture, ngrams: Scores, network: Scores) -> Scores:
    """The decision of the combination from those of its parts: [texts, labels] each."""
    return np.asarray(ngrams * mixture.ngrams + network * mixture.network)


def fit_mixture(ngrams: Scores, network: Scores, truth: LabelMatrix) -> Mixture:
    """Fit the weights by maximum likelihood on held-out texts, with a pull to equal weights.

    Equal is meant of decisions of equal spread. A label with nothing but one answer gets equal weights.

    Args:
        ngrams: decisions of the n-grams, [texts, labels].
        network: decisions of the network, [texts, labels].
        truth: [texts, labels].
    """
    weights = np.zeros((2, truth.shape[1]))
    for i, column in enumerate(truth.T):
        known = column != UNKNOWN
        parts = np.stack([ngrams[known, i], network[known, i]])
        spreads = np.array([float(np.std(part)) or 1.0 for part in parts]) if known.any() else np.ones(2)
        weights[:, i] = _fit(parts / spreads[:, None], column[known] == 1) / spreads
    return Mixture(weights[0], weights[1])


def _fit(parts: Floats, truth: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    equal = np.full(2, 0.5)
    if truth.all() or not truth.any():
        return equal

    def loss(given: Floats) -> tuple[float, Floats]:
        slopes, offset = given[:2], given[2]
        logits = slopes @ parts + offset
        residual = expit(logits) - truth
        value = float((np.logaddexp(0, logits) - truth * logits).sum())
        # The pull is on the difference, because the common size is what calibration fits.
        apart = slopes[0] - slopes[1]
        gradient = np.append(parts @ residual + _TEXTS * apart * np.array([1.0, -1.0]), residual.sum())
        return value + _TEXTS * apart**2 / 2, gradient

    start = np.array([1.0, 1.0, np.log(truth.mean() / (1 - truth.mean()))])
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)]).x[:2]
    return np.asarray(fitted / fitted.sum()) if fitted.sum() > 0 else equal


def read_combined(
    folder: Path, network: TransformerClassifier, encode: Encode | None = None
) -> TransformerClassifier | CombinedClassifier:
    """The combination in a folder, or the network alone where there is none.

    Raises:
        ModelError: its parts are missing or do not fit together.
    """
    path = folder / COMBINATION
    if not path.is_file():
        return network
    try:
        weights = json.loads(path.read_bytes())
        ngrams, alone = (
            np.array([float(weights[label][part]) for label in network.labels]) for part in ("ngrams", "network")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: cannot be read ({first_line(error)}): fetch or train the model again") from error
    if not (np.isfinite(ngrams).all() and np.isfinite(alone).all()):
        raise ModelError(f"{path}: holds weights that are no numbers: fetch or train the model again")
    return CombinedClassifier(network, read_linear(folder, encode), Mixture(ngrams, alone))
