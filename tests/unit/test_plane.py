"""Vectors on a map: groups that lie apart are seen apart."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.plane import Points, principal, project


@pytest.fixture(scope="module")
def groups() -> Vectors:
    """Thirty vectors around each of two centres."""
    drawn = np.random.default_rng(3).normal(scale=0.1, size=(60, 12)).astype(np.float32)
    drawn[:30, 0] += 1
    drawn[30:, 1] += 1
    return unit(drawn)


def apart(placed: Points) -> bool:
    """Whether every point is nearer to its own group's middle than to the other's."""
    middles = np.stack([placed[:30].mean(0), placed[30:].mean(0)])
    nearest = np.linalg.norm(placed[:, None] - middles, axis=2).argmin(1)
    return bool((nearest == np.repeat([0, 1], 30)).all())


def test_principal_components_and_umap_tell_groups_apart(groups: Vectors) -> None:
    placed, method = project(groups, seed=1)
    assert method == "UMAP"
    assert placed.shape == (60, 2)
    assert apart(placed)
    assert apart(principal(groups))


@pytest.mark.parametrize(("count", "dimension"), [(1, 8), (2, 8), (15, 8), (4, 1)])
def test_few_vectors_have_a_place_too(count: int, dimension: int) -> None:
    vectors = unit(np.random.default_rng(3).normal(size=(count, dimension)).astype(np.float32))
    placed, method = project(vectors, seed=1)
    assert (placed.shape, method) == ((count, 2), "PCA")
    assert np.isfinite(placed).all()
