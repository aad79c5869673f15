"""Prototypes of a label in embedding space: a few trimmed centroids.

A single mean is nearest to the label's commonest wording and farthest from the rare, slangy texts that matter
most, so a label may have several (Rocchio 1971 gives the centroid; the trimming follows Cuesta-Albertos, Gordaliza &
Matrán 1997, "Trimmed k-means"; clusters on the sphere follow Dhillon & Modha 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipeline.errors import NotEnoughVectors
from pipeline.vectors.encoders.protocol import Vectors, unit

#: vectors of a label that its prototypes are estimated from, at most
SAMPLE = 2_000
#: prototypes of a label, at most
MAX_PROTOTYPES = 4
#: the share of a label's sample (or of its anchors) that a prototype stands for, at least: a smaller group may be
#: texts of another label that a rater put here by mistake
MIN_SHARE = 0.15
#: weight of a prototype's anchors against the mean of its texts
ANCHOR_WEIGHT = 0.5
#: texts for each prototype, at least
_PER_PROTOTYPE = 40
#: least mean silhouette (Rousseeuw 1987) to use several prototypes
_MIN_SILHOUETTE = 0.10
#: largest move of a centroid that counts as no move
_STILL = 1e-4
_STEPS = 50
#: number of searches for centroids, of which the best after a few steps goes on to the end
_STARTS, _FIRST_STEPS = 3, 4
#: largest number of texts for the silhouette, which needs n² distances
_SILHOUETTE_SAMPLE = 1_000


@dataclass(frozen=True, slots=True)
class Prototypes:
    """A label's centroids."""

    #: unit vectors, [k, d]
    centroids: Vectors
    #: share of the sample that is nearest to each, [k]
    shares: tuple[float, ...]


def make_prototypes(
    vectors: Vectors, *, trim: float = 0.1, anchors: Vectors | None = None, rng: np.random.Generator
) -> Prototypes:
    """Several centroids of one label, each the mean of its texts without the least similar of them.

    The silhouette chooses their number, 1 to 4; groups below `MIN_SHARE` give no prototype.

    Args:
        vectors: unit vectors of texts with the label, [n, d]; some of them wrongly labelled.
        trim: share of a centroid's texts that is left out of its mean, 0 to 0.5.
        anchors: unit vectors of texts that surely have the label, [m, d]: the search starts from their centroids, and
            a centroid is the mean of its anchors and the mean of its texts, in parts `ANCHOR_WEIGHT` to the rest.
        rng: draws the starting points.

    Raises:
        NotEnoughVectors: there are no vectors.
    """
    if not len(vectors):
        raise NotEnoughVectors("there are no vectors to make a prototype from: run `saring embed` first")
    sample = np.asarray(vectors, dtype=np.float32)
    fixed = np.zeros((0, sample.shape[1]), np.float32) if anchors is None else np.asarray(anchors, np.float32)
    # The products are small: threads of BLAS gain nothing on an idle machine and wait for each other on a busy one.
    with threadpool_limits(1):
        return _choose(sample, fixed, trim, rng)


def _choose(sample: Vectors, fixed: Vectors, trim: float, rng: np.random.Generator) -> Prototypes:
    """The number of centroids with the best silhouette, and the centroids."""
    # It takes a second to load, and whatever imports this module may never get here.
    from sklearn.metrics import silhouette_score

    best = _cluster(sample, fixed, 1, trim, rng)
    score = _MIN_SILHOUETTE
    distances = _distances(sample[:_SILHOUETTE_SAMPLE])
    for k in range(2, min(MAX_PROTOTYPES, len(sample) // _PER_PROTOTYPE) + 1):
        centroids = _cluster(sample, fixed, k, trim, rng)
        nearest = (sample[: len(distances)] @ centroids.T).argmax(axis=1)
        if len(np.unique(nearest)) < k:
            continue
        silhouette = float(silhouette_score(distances, nearest, metric="precomputed"))
        if silhouette > score:
            best, score = centroids, silhouette
    kept = _large_enough(sample, fixed, best)
    centroids = _settle(sample, fixed, best[kept], trim)
    nearest = (sample @ centroids.T).argmax(axis=1)
    shares = np.bincount(nearest, minlength=len(centroids)) / len(sample)
    return Prototypes(centroids, tuple(float(share) for share in shares))


def _distances(vectors: Vectors) -> Vectors:
    """Cosine distances between all, [n, n]."""
    distances = np.clip(1 - vectors @ vectors.T, 0, None)
    np.fill_diagonal(distances, 0)
    return np.asarray(distances, dtype=np.float32)


def _large_enough(sample: Vectors, anchors: Vectors, centroids: Vectors) -> NDArray[np.intp]:
    """Indices of the centroids that enough texts or anchors are nearest to; the largest if none is."""
    shares = np.zeros((2, len(centroids)))
    for i, vectors in enumerate((sample, anchors)):
        if len(vectors):
            shares[i] = np.bincount((vectors @ centroids.T).argmax(axis=1), minlength=len(centroids)) / len(vectors)
    kept = np.flatnonzero(shares.max(axis=0) >= MIN_SHARE)
    return kept if len(kept) else np.array([shares[0].argmax()])


def _cluster(sample: Vectors, anchors: Vectors, k: int, trim: float, rng: np.random.Generator) -> Vectors:
    """The best of a few trimmed spherical k-means: the one whose kept texts are nearest to their centroids."""
    if k == 1:
        return _settle(sample, anchors, unit(sample.mean(axis=0, keepdims=True)), trim)
    starts = [_spread(sample, k, rng) for _ in range(_STARTS)]
    if len(anchors) >= k:
        starts = [_settle(anchors, anchors[:0], _spread(anchors, k, rng), trim), *starts]
    begun = [_settle(sample, anchors, start, trim, _FIRST_STEPS) for start in starts]
    best = max(begun, key=lambda centroids: _tightness(sample, centroids, trim))
    return _settle(sample, anchors, best, trim)


def _tightness(sample: Vectors, centroids: Vectors, trim: float) -> float:
    """Mean similarity to the nearest centroid of all but the farthest share."""
    nearest = np.sort((sample @ centroids.T).max(axis=1))
    return float(nearest[int(len(nearest) * trim) :].mean())


def _spread(vectors: Vectors, k: int, rng: np.random.Generator) -> Vectors:
    """Starting points far from each other (k-means++, Arthur & Vassilvitskii 2007, on cosine distance)."""
    chosen = [int(rng.integers(len(vectors)))]
    distance = np.full(len(vectors), np.inf)
    for _ in range(k - 1):
        distance = np.minimum(distance, np.clip(1 - vectors @ vectors[chosen[-1]], 0, None))
        total = float(distance.sum())
        # All texts are the same: any of them will do.
        chosen.append(int(rng.choice(len(vectors), p=distance / total)) if total else chosen[-1])
    return np.asarray(vectors[chosen], dtype=np.float32)


def _settle(sample: Vectors, anchors: Vectors, centroids: Vectors, trim: float, steps: int = _STEPS) -> Vectors:
    """Move the centroids to the trimmed means of their texts until they stand still, `steps` times at most."""
    for _ in range(steps):
        means = _trimmed_means(sample, centroids, trim)
        if len(anchors):
            # A centroid that no anchor is nearest to is led by its texts alone, and the other way round.
            means = (1 - ANCHOR_WEIGHT) * means + ANCHOR_WEIGHT * _trimmed_means(anchors, centroids, 0)
        empty = np.linalg.norm(means, axis=1, keepdims=True) == 0
        moved = unit(np.where(empty, centroids, means))
        still = float(np.linalg.norm(moved - centroids, axis=1).max()) < _STILL
        centroids = moved
        if still:
            break
    return centroids


def _trimmed_means(vectors: Vectors, centroids: Vectors, trim: float) -> Vectors:
    """The mean of those nearest to each centroid, without the farthest share of them; zero where there are none."""
    similarity = vectors @ centroids.T
    nearest, closeness = similarity.argmax(axis=1), similarity.max(axis=1)
    weights = np.zeros((len(centroids), len(vectors)), np.float32)
    for i in range(len(centroids)):
        own = np.flatnonzero(nearest == i)
        kept = own[np.argsort(closeness[own], kind="stable")[int(len(own) * trim) :]]
        weights[i, kept] = 1 / max(1, len(kept))
    return np.asarray(weights @ vectors, dtype=np.float32)
