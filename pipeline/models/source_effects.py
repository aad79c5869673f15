"""Source effects: what a label's base rate in one source adds to a decision, kept apart from what the words say.

Sources ask different questions under one name and have other base rates. A classifier that is told nothing of this
learns to tell sources apart. So, in training, each text has a column that names its source (an intercept for each
source, as in the mixed models of Gelman & Hill 2007, chapter 12; compare the augmented features of Daumé 2007): the
weights of the n-grams are then fitted to differences within sources. For a new text, whose source is not known or was
never seen, the effect is the mean over the sources, weighted by how much the text reads like each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import Floats, Ints
from pipeline.models.features import fold_columns
from pipeline.models.plain_arrays import finite

if TYPE_CHECKING:
    import scipy.sparse as sp

#: least number of texts, and greatest number, of sources with an effect; the rest share none
LEAST_TEXTS, MOST_SOURCES = 50, 40
#: number of the texts without a source of their own
NONE = -1
#: texts that the guess of a source is learnt from
_LEARNT_FROM = 30_000
#: bits of a bucket in the guess: to tell sources apart needs less detail than to judge
BITS = 16


@dataclass(frozen=True, slots=True)
class SourceEffects:
    """The guess of a text's source, and each source's effect on each label."""

    #: [2^BITS, sources]
    weights: NDArray[np.float32]
    #: [sources]
    intercepts: Floats
    #: [sources, labels], in the unit of the decisions
    effects: Floats

    def expected(self, weighed: NDArray[np.floating[Any]]) -> Floats:
        """The effects to expect of texts: [texts, labels].

        Args:
            weighed: features times `weights`: [texts, sources].
        """
        with np.errstate(over="ignore"):
            shares = 1 / (1 + np.exp(-(weighed.astype(np.float64) + self.intercepts)))
        shares = np.maximum(shares, 1e-12)
        shares /= shares.sum(axis=1, keepdims=True)
        # Sources are added one after the other: a matrix product rounds a single text in another way than many.
        expected = np.zeros((len(weighed), self.effects.shape[1]))
        for share, effect in zip(shares.T, self.effects, strict=True):
            expected += share[:, None] * effect
        return expected

    def state(self) -> Mapping[str, Any]:
        """Arrays by name, for a model's file."""
        return {
            "source_weights": self.weights,
            "source_intercepts": self.intercepts,
            "source_effects": self.effects,
        }


def restore_source_effects(state: Mapping[str, Any]) -> SourceEffects | None:
    """The source effects in a model's state; None if it has none.

    Raises:
        KeyError: a part is missing.
        ValueError: the parts are no numbers, or do not fit together.
    """
    if "source_weights" not in state:
        return None
    weights = finite(state["source_weights"], np.float32)
    intercepts, effects = (finite(state[name], np.float64) for name in ("source_intercepts", "source_effects"))
    fits = weights.ndim == effects.ndim == 2 and len(effects) == len(intercepts) == weights.shape[1] > 0
    if intercepts.ndim != 1 or not fits or weights.shape[0].bit_count() != 1:
        raise ValueError("source effects do not fit together")
    return SourceEffects(weights, intercepts, effects)


def number_sources(sources: Sequence[str]) -> tuple[Ints, int]:
    """The number of each text's source, from 0 in order of name, `NONE` for small sources; and how many there are."""
    counts = Counter(source for source in sources if source)
    largest = [source for source, count in counts.most_common(MOST_SOURCES) if count >= LEAST_TEXTS]
    if len(largest) < 2:
        return np.full(len(sources), NONE, dtype=np.int64), 0
    numbers = {source: number for number, source in enumerate(sorted(largest))}
    return np.array([numbers.get(source, NONE) for source in sources], dtype=np.int64), len(numbers)


def columns_of(numbers: Ints, count: int, scale: float) -> sp.csr_matrix:
    """A column for each source: [texts, count], `scale` where a text is of it.

    The scale sets the penalty on effects: the smaller it is, the nearer they stay to 0.
    """
    import scipy.sparse as sp

    rows = np.flatnonzero(numbers != NONE)
    values = np.full(len(rows), scale, dtype=np.float32)
    return sp.csr_matrix((values, (rows, numbers[rows])), shape=(len(numbers), count), dtype=np.float32)


def fit_source_effects(
    features: sp.csr_matrix, numbers: Ints, effects: Floats, *, rng: np.random.Generator
) -> SourceEffects:
    """Learn to guess sources, one against the rest, by logistic regression on a draw of the texts.

    Args:
        features: [texts, buckets].
        numbers: the source of each text, from `number_sources`.
        effects: [sources, labels].
        rng: draws the texts.
    """
    from sklearn.linear_model import LogisticRegression

    drawn = np.sort(rng.permutation(np.flatnonzero(numbers != NONE))[:_LEARNT_FROM])
    rows, own = fold_columns(features[drawn], 1 << BITS), numbers[drawn]
    weights = np.zeros((1 << BITS, len(effects)), dtype=np.float32)
    # a source that the draw missed is never guessed
    intercepts = np.full(len(effects), -50.0)
    for number in np.unique(own).tolist():
        truth = own == number
        if truth.all():
            continue
        model = LogisticRegression(C=10, solver="liblinear", dual=True, tol=0.1, random_state=0).fit(rows, truth)
        weights[:, number], intercepts[number] = model.coef_[0], model.intercept_[0]
    return SourceEffects(weights, intercepts, effects)
