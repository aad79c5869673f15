"""The strategy `uncertain`: texts that the champion is unsure of, spread over the space."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipeline.measure.arrays import Booleans, Floats
from pipeline.queue.candidates import Candidates
from pipeline.queue.sampling import by_rank, proportional
from pipeline.queue.strategies.protocol import Chances
from pipeline.vectors.encoders.protocol import Vectors

#: clusters, at most; and texts for each, at least
_CLUSTERS, _PER_CLUSTER = 100, 50
#: vectors that the clusters are found on
_SAMPLE = 10_000
#: a cluster's share of the draw grows with this power of its summed uncertainty: 1 would leave most of the draw to the
#: largest, 0 would give a handful of odd texts as much (power allocation: Bankier 1988, The American Statistician 42)
_POWER = 0.5


class Uncertain:
    """Chances by uncertainty and its rank, stratified by cluster so that the draw is spread over the space.

    Uncertainty is the entropy of the labels, taken as independent (Settles 2009, section 3.1). Without a champion,
    the scores of the LLM or of the bootstrap rater are used; without scores all texts have the same chance.
    """

    def weigh(self, candidates: Candidates, size: float, rng: np.random.Generator) -> Chances:
        """See Strategy."""
        n = len(candidates)
        believed, who, note = _believed(candidates)
        if believed is None:
            even = np.full(n, min(1.0, size / max(1, n)))
            return Chances(even, rng.random(n), lambda _: "nothing is known about it yet", note=note)
        entropies = np.nan_to_num(entropy(believed))
        total = entropies.sum(axis=1)
        unknown = cast(Booleans, np.isnan(believed).all(axis=1))
        sizes = np.zeros(n)
        sizes[~unknown] = by_rank(total[~unknown])
        # Texts without scores count as much as one with a score on average.
        total[unknown], sizes[unknown] = total[~unknown].mean(), sizes[~unknown].mean()
        stratum = clusters(candidates.vectors, rng) if candidates.vectors is not None else np.zeros(n, np.intp)
        label = np.where(unknown, -1, entropies.argmax(axis=1))

        def reason(row: int) -> str:
            if unknown[row]:
                return "nothing is known about it yet"
            two = [j for j in np.argsort(-entropies[row], kind="stable")[:2] if entropies[row, j] > 0]
            shown = ", ".join(f"{candidates.labels[j]} {believed[row, j]:.2f}" for j in two)
            return f"of the texts left, one that {who} is less sure of: {shown}"

        return Chances(spread(sizes, stratum, size), total, reason, label=label, note=note)


def entropy(probabilities: Floats) -> Floats:
    """Entropy of a yes or no with each probability, in bits; NaN stays NaN."""
    p = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return np.asarray(-p * np.log2(p) - (1 - p) * np.log2(1 - p))


def spread(sizes: Floats, stratum: NDArray[np.intp], expected: float) -> Floats:
    """Chances in proportion to `sizes` within each stratum, strata in proportion to a power of their sum."""
    mass: Floats = np.bincount(stratum, weights=sizes).astype(np.float64)
    count: Floats = np.bincount(stratum, weights=sizes > 0).astype(np.float64)
    # A stratum gets no more than it has, and the others share the rest.
    shares = _parts(np.power(mass, _POWER), count, min(expected, float(count.sum())))
    chances = np.zeros(len(sizes))
    for i in np.flatnonzero(shares > 0):
        own = stratum == i
        chances[own] = proportional(sizes[own], float(shares[i]))
    return chances


def _parts(weights: Floats, most: Floats, total: float) -> Floats:
    """Parts of `total` in proportion to `weights`, none above `most`."""
    parts = np.zeros(len(weights))
    free = (weights > 0) & (most > 0)
    while free.any():
        left = total - parts[~free].sum()
        wanted = max(0.0, left) * weights[free] / weights[free].sum()
        parts[free] = np.minimum(most[free], wanted)
        full = free & (parts >= most)
        if not full.any():
            break
        free &= ~full
    return parts


def clusters(vectors: Vectors, rng: np.random.Generator) -> NDArray[np.intp]:
    """A cluster for each text (mini-batch k-means, Sculley 2010); texts without a vector are a cluster of their own."""
    present = np.flatnonzero(vectors.any(axis=1))
    numbers = np.zeros(len(vectors), np.intp)
    k = min(_CLUSTERS, len(present) // _PER_CLUSTER)
    if k < 2:
        numbers[present] = 1
        return numbers
    # It takes a second to load, and small queues never get here.
    from sklearn.cluster import MiniBatchKMeans

    some = present if len(present) <= _SAMPLE else rng.choice(present, size=_SAMPLE, replace=False)
    means = MiniBatchKMeans(k, n_init=1, batch_size=1_024, max_iter=20, random_state=int(rng.integers(1 << 31)))
    # With threads the order of sums changes, and the same seed must give the same draw.
    with threadpool_limits(1):
        means.fit(vectors[some])
        numbers[present] = 1 + means.predict(vectors[present])
    return numbers


def _believed(candidates: Candidates) -> tuple[Floats | None, str, str | None]:
    """Probabilities to use, the name of their source, and a note."""
    if candidates.probabilities is not None and not np.isnan(candidates.probabilities).all():
        return candidates.probabilities, "the champion", None
    if not np.isnan(candidates.scores).all():
        return candidates.scores, "the rater", "no model yet: uncertainty was taken from the LLM or the bootstrap rater"
    return None, "", "no model and no scores yet: `uncertain` draws at random"
