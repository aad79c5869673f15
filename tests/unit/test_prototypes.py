"""What a label looks like: how many centroids, where, and what does not move them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import NotEnoughVectors
from pipeline.filters.prototypes import MAX_PROTOTYPES, make_prototypes
from pipeline.vectors.encoders.protocol import Vectors, unit

D = 64


def directions(count: int, away: float = 0.7) -> Vectors:
    """Unit vectors that share most of their direction, as those of real encoders do."""
    rng = np.random.default_rng(1)
    shared = unit(rng.normal(size=(1, D)))
    return unit(np.asarray(shared + away * unit(rng.normal(size=(count, D))), dtype=np.float32))


def cloud(rng: np.random.Generator, centre: Vectors, count: int, spread: float = 0.4) -> Vectors:
    return unit(np.asarray(centre + spread * unit(rng.normal(size=(count, D))), dtype=np.float32))


def test_one_group_gives_one_prototype_at_its_mean(rng: np.random.Generator) -> None:
    centre = directions(1)[0]
    found = make_prototypes(cloud(rng, centre, 800), rng=rng)
    assert found.centroids.shape == (1, D)
    assert found.centroids[0] @ centre > 0.99
    assert found.shares == (1.0,)


def test_a_rarer_way_of_saying_it_has_its_own(rng: np.random.Generator) -> None:
    common, rare = directions(2)
    vectors = np.concatenate([cloud(rng, common, 750), cloud(rng, rare, 250)])
    found = make_prototypes(rng.permutation(vectors), rng=rng)
    assert sorted(found.shares) == pytest.approx([0.25, 0.75], abs=0.02)
    assert (found.centroids @ np.stack([common, rare]).T).max(axis=0).min() > 0.98


def test_a_small_group_of_mistakes_has_none(rng: np.random.Generator) -> None:
    common, rare, other = directions(3)
    vectors = np.concatenate([cloud(rng, common, 650), cloud(rng, rare, 250), cloud(rng, other, 100, 0.05)])
    found = make_prototypes(rng.permutation(vectors), rng=rng)
    assert len(found.centroids) == 2
    far, near = cloud(rng, other, 100, 0.05) @ found.centroids.T, cloud(rng, rare, 100) @ found.centroids.T
    assert far.max() < near.max(axis=1).min()


def test_trimming_keeps_the_centre_where_the_label_is(rng: np.random.Generator) -> None:
    centre = directions(1)[0]
    # mistakes that agree on nothing but not being this label
    wrong = unit(rng.normal(size=(100, D)).astype(np.float32) - 2 * centre)
    vectors = np.concatenate([cloud(rng, centre, 900), wrong])
    trimmed, plain = (make_prototypes(vectors, trim=trim, rng=np.random.default_rng(0)) for trim in (0.1, 0.0))
    away = [1 - float((found.centroids @ centre).max()) for found in (trimmed, plain)]
    assert away[0] < away[1]


def test_a_small_label_has_one(rng: np.random.Generator) -> None:
    vectors = np.concatenate([cloud(rng, centre, 20) for centre in directions(2)])
    assert len(make_prototypes(vectors, rng=rng).centroids) == 1


def test_never_more_than_the_most(rng: np.random.Generator) -> None:
    vectors = np.concatenate([cloud(rng, centre, 200, 0.2) for centre in directions(6)])
    assert 2 <= len(make_prototypes(vectors, rng=rng).centroids) <= MAX_PROTOTYPES


def test_anchors_pull_a_mislabelled_label_home(rng: np.random.Generator) -> None:
    right, wrong = directions(2)
    vectors = np.concatenate([cloud(rng, right, 500), cloud(rng, wrong, 500)])
    anchored = make_prototypes(vectors[:30], anchors=cloud(rng, right, 20), rng=np.random.default_rng(0))
    assert len(anchored.centroids) == 1
    mixed = np.concatenate([vectors[:15], vectors[-15:]])
    plain, pulled = (
        make_prototypes(mixed, anchors=anchors, rng=np.random.default_rng(0)).centroids
        for anchors in (None, cloud(rng, right, 20))
    )
    assert (pulled @ right).max() - (pulled @ wrong).max() > (plain @ right).max() - (plain @ wrong).max()


def test_anchors_speak_for_a_wording_that_is_too_rare(rng: np.random.Generator) -> None:
    common, rare = directions(2)
    vectors = np.concatenate([cloud(rng, common, 900), cloud(rng, rare, 80)])
    anchors = np.concatenate([cloud(rng, common, 12), cloud(rng, rare, 12)])
    alone, anchored = (make_prototypes(vectors, anchors=a, rng=np.random.default_rng(0)) for a in (None, anchors))
    assert len(alone.centroids) == 1
    assert len(anchored.centroids) == 2


def test_the_same_seed_gives_the_same(rng: np.random.Generator) -> None:
    vectors = np.concatenate([cloud(rng, centre, 300) for centre in directions(3)])
    first, second = (make_prototypes(vectors, rng=np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.centroids, second.centroids)


def test_prototypes_have_length_one(rng: np.random.Generator) -> None:
    vectors = np.concatenate([cloud(rng, centre, 300) for centre in directions(2)])
    lengths = np.linalg.norm(make_prototypes(vectors, anchors=directions(2), rng=rng).centroids, axis=1)
    assert lengths == pytest.approx(1.0, abs=1e-5)


def test_one_text_many_times_is_one_prototype(rng: np.random.Generator) -> None:
    vectors = np.repeat(directions(1), 200, axis=0)
    found = make_prototypes(vectors, rng=rng)
    assert found.centroids == pytest.approx(directions(1), abs=1e-5)


def test_no_vectors_make_no_prototype(rng: np.random.Generator) -> None:
    with pytest.raises(NotEnoughVectors, match="saring embed"):
        make_prototypes(np.zeros((0, D), np.float32), rng=rng)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)
