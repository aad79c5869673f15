"""Projections of vectors to two dimensions, for maps."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
from numpy.typing import NDArray

from pipeline.vectors.encoders.protocol import Vectors

Points = NDArray[np.float64]
#: number of vectors up to which UMAP has too few neighbours
_LEAST = 15


def project(vectors: Vectors, seed: int) -> tuple[Points, str]:
    """Project vectors to two dimensions: points of shape [n, 2] and the method, UMAP if `umap` is installed, else PCA.

    Args:
        vectors: unit vectors of shape [n, d].
        seed: seed of UMAP.
    """
    if importlib.util.find_spec("umap") is None or len(vectors) <= _LEAST:
        return principal(vectors), "PCA"
    with warnings.catch_warnings():
        # UMAP warns that a part of it, which is not used here, needs TensorFlow.
        warnings.simplefilter("ignore", ImportWarning)
        import umap

    placed = umap.UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(vectors)
    return np.asarray(placed, dtype=np.float64), "UMAP"


def principal(vectors: Vectors) -> Points:
    """The first two principal components, [n, 2]: less clear than UMAP, but UMAP compiles for many seconds first."""
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    # The axes are the last eigenvectors, [d, 2]: a decomposition of all vectors takes ten times as long.
    axes = np.linalg.eigh(centred.T @ centred).eigenvectors[:, :-3:-1]
    placed = centred @ axes
    return np.pad(placed, ((0, 0), (0, 2 - placed.shape[1])))


def to_pixels(placed: Points, width: float, height: float, margin: float) -> Points:
    """Scale points to a map between the 1st and the 99th percentile, so that one outlier does not shrink the rest.

    Args:
        placed: points of shape [n, 2].
        width: width of the map.
        height: height of the map.
        margin: free space on each side.
    """
    low, high = np.percentile(placed, [1, 99], axis=0)
    share = np.clip((placed - low) / np.where(high > low, high - low, 1), -0.02, 1.02)
    room = np.array([width, height]) - 2 * margin
    return np.asarray(margin + share * room)
