"""Classifier two-sample test (Lopez-Paz & Oquab 2017, "Revisiting Classifier Two-Sample Tests").

If a classifier tells which of two samples a held-out vector is from, better than chance does, the samples are from
different distributions. Its accuracy on held-out vectors is the size of the difference, in words that anybody can
check: 0.5 is no difference, 1 is complete.

The p-value is exact: given the answers of the classifier, a permutation of the true origins makes the number of right
ones hypergeometric (Fisher's exact test). So it holds for any classifier and any number of texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.intervals import Estimate, wilson

#: vectors of each sample below which nothing is tested
LEAST = 100
#: strength of the classifier's penalty: weak enough to see a shift, strong enough for a few hundred vectors
_INVERSE_PENALTY = 0.1

Matrix = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TwoSample:
    """The result of a test."""

    #: vectors of each sample that were used
    texts: int
    #: share of held-out vectors whose sample the classifier tells; 0.5 is chance
    accuracy: Estimate
    p_value: float
    #: held-out vectors of the first sample, by their place in it, with the probability that they are of that sample;
    #: the most certain first
    newest: tuple[tuple[int, float], ...]


def two_sample_test(recent: Matrix, reference: Matrix, *, rng: np.random.Generator, most: int = 20) -> TwoSample | None:
    """Test whether two samples of vectors are from one distribution.

    Args:
        recent: [texts, dimension].
        reference: [texts, dimension]; of the larger sample, as many are drawn as the smaller one has.
        rng: draws the vectors that are used, and those that are held out (half of each sample).
        most: number of vectors in `newest`.

    Returns:
        The result; None: a sample has fewer than `LEAST` vectors.
    """
    size = min(len(recent), len(reference))
    if size < LEAST:
        return None
    # scikit-learn takes a second to load, and pages need the figures only
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chosen = [rng.permutation(len(sample))[:size] for sample in (recent, reference)]
    half = size // 2
    fitting = np.concatenate([recent[chosen[0][:half]], reference[chosen[1][:half]]])
    held_out = np.concatenate([recent[chosen[0][half:]], reference[chosen[1][half:]]])
    held = size - half
    origin = np.repeat([1, 0], half)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=_INVERSE_PENALTY, max_iter=200))
    classifier.fit(fitting, origin)
    probabilities = classifier.predict_proba(held_out)[:, 1]
    said_recent = probabilities > 0.5
    right = int(said_recent[:held].sum() + (~said_recent[held:]).sum())
    accuracy = wilson(right, 2 * held)
    assert accuracy is not None
    order = np.argsort(-probabilities[:held], kind="stable")[:most]
    return TwoSample(
        texts=size,
        accuracy=accuracy,
        p_value=_p_value(int(said_recent[:held].sum()), int(said_recent.sum()), held),
        newest=tuple((int(chosen[0][half + place]), float(probabilities[place])) for place in order),
    )


def _p_value(hits: int, answered: int, held: int) -> float:
    """Chance that as many or more of the `answered` vectors are of the first sample, of which there are `held`."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(hits - 1, 2 * held, held, answered))
