"""How texts are drawn: stated chances are true ones, near-alike texts never come together, sizes are kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.measure.arrays import Booleans, Floats
from pipeline.queue.sampling import Sample, Space, draw, either, proportional, staying, systematic, thin, trim
from pipeline.vectors.encoders.protocol import Vectors, unit

NEAR = 0.95


def crowded(n: int, rng: np.random.Generator, *, d: int = 8, groups: int = 12) -> Vectors:
    """Unit vectors of which many are near-alike, and some chains of near ones are not cliques."""
    centres = rng.normal(size=(groups, d))
    return unit((centres[rng.integers(0, groups, n)] + 0.35 * rng.normal(size=(n, d))).astype(np.float32))


def uneven_mix(n: int, size: float, rng: np.random.Generator) -> dict[str, Floats]:
    return {
        "steep": proportional(rng.pareto(1.5, n) + 1e-3, 0.6 * size),
        "some": proportional(np.where(rng.random(n) < 0.3, rng.random(n), 0.0), 0.2 * size),
        "random": proportional(np.ones(n), 0.2 * size),
    }


def drawn(
    mix: Mapping[str, Floats], vectors: Vectors | None, harsh: Booleans, size: int, least: int, seed: int
) -> Sample:
    rng = np.random.default_rng(seed)
    sample = draw(mix, Space(vectors, NEAR), harsh, size=size, benign_least=least, rng=rng)
    return trim(sample, harsh, size=size, benign_least=least, rng=rng)


@given(
    hnp.arrays(np.float64, st.integers(1, 60), elements=st.one_of(st.just(0.0), st.floats(1e-6, 1e6))),
    st.floats(0.0, 80.0),
)
def test_proportional_chances_are_chances_with_the_sum_that_was_asked_for(sizes: Floats, expected: float) -> None:
    chances = proportional(sizes, expected)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert (chances[sizes == 0] == 0).all()
    assert chances.sum() == pytest.approx(min(expected, np.count_nonzero(sizes)), rel=1e-6, abs=1e-9)
    order = np.argsort(sizes)
    assert (np.diff(chances[order]) >= -1e-9).all()


def test_either_is_the_chance_that_one_of_independent_coins_comes_up() -> None:
    assert either(np.array([[0.5, 0.0], [0.2, 0.3]])) == pytest.approx([0.6, 0.3])


@pytest.mark.parametrize("p", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("count", [2, 7, 300])
def test_of_texts_that_are_all_alike_exactly_one_stays_and_each_as_often(p: float, count: int) -> None:
    chances = np.full(count, p)
    rows = np.arange(count)
    near = [np.delete(rows, row) for row in rows]
    kept = staying(chances, rows, near)
    assert kept == pytest.approx(np.full(count, (1 - (1 - p) ** count) / count), rel=1e-6)


def test_the_chance_to_stay_is_what_frequencies_say() -> None:
    rng = np.random.default_rng(1)
    vectors = crowded(40, rng)
    space, chances = Space(vectors, NEAR), rng.random(40)
    rows = np.arange(40)
    near = space.neighbours(rows)
    stated = staying(chances, rows, near)
    assert any(len(others) > 1 for others in near)
    times, seen = 20_000, np.zeros(40)
    for _ in range(times):
        mine = np.flatnonzero(rng.random(40) < chances)
        stays = thin(mine, [near[row] for row in mine], rng.random(len(mine)))
        seen[mine[stays]] += 1
    # five standard errors for each of the forty
    assert (np.abs(seen / times - stated) <= 5 * np.sqrt(stated * (1 - stated) / times) + 1e-9).all()


@settings(max_examples=40)
@given(
    n=st.integers(1, 300),
    size=st.integers(1, 120),
    groups=st.integers(1, 60),
    benign=st.floats(0, 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_whatever_is_drawn_keeps_its_promises(
    n: int, size: int, groups: int, benign: float, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors, harsh = crowded(n, rng, groups=groups), rng.random(n) >= benign
    least = int(np.ceil(share * size))
    space = Space(vectors, NEAR)
    before = draw(uneven_mix(n, size, rng), space, harsh, size=size, benign_least=least, rng=rng)
    sample = trim(before, harsh, size=size, benign_least=least, rng=rng)
    assert len(sample) == len(sample.strategy) == len(sample.probability) == min(size, len(before))
    assert (np.diff(sample.rows) > 0).all(), "no text twice"
    assert ((sample.probability > 0) & (sample.probability <= 1)).all()
    assert set(sample.strategy) <= {"steep", "some", "random", "benign"}
    cosines = vectors[sample.rows] @ vectors[sample.rows].T
    np.fill_diagonal(cosines, -1)
    assert cosines.max(initial=-1) <= NEAR + 1e-6
    # the benign ones that are there are used before harsh ones fill their places
    there = np.count_nonzero(~harsh[before.rows])
    assert np.count_nonzero(~harsh[sample.rows]) >= min(least, there)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_same_seed_draws_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, mix, harsh = crowded(200, rng), uneven_mix(200, 30, rng), rng.random(200) < 0.5
    one, other = (drawn(mix, vectors, harsh, 30, 10, seed) for _ in range(2))
    assert (one.rows == other.rows).all()
    assert (one.probability == other.probability).all()


@given(
    hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(1e-3, 1)),
    st.integers(0, 50),
    st.integers(0, 2**32 - 1),
)
def test_systematic_sampling_keeps_the_size_and_takes_none_twice(sizes: Floats, count: int, seed: int) -> None:
    chances = proportional(sizes, count)
    taken = systematic(chances, np.random.default_rng(seed))
    assert len(taken) == len(set(taken.tolist())) == min(count, len(sizes))
    assert set(np.flatnonzero(chances >= 1)) <= set(taken.tolist())


def test_systematic_sampling_draws_each_as_often_as_it_says() -> None:
    chances = proportional(np.array([1.0, 2, 3, 4, 5, 60]), 3)
    rng, seen = np.random.default_rng(3), np.zeros(6)
    for _ in range(5_000):
        seen[systematic(chances, rng)] += 1
    assert seen / 5_000 == pytest.approx(chances, abs=5 * 0.5 / np.sqrt(5_000))


def test_a_text_that_is_wanted_surely_is_not_traded_for_one_that_hardly_is() -> None:
    """More is drawn than was asked for, and what is left out again must not be what was wanted most."""
    mix = {"only": np.concatenate([np.full(8, 1.0), np.full(92, 2 / 92)])}
    kept = [np.count_nonzero(drawn(mix, None, np.zeros(100, bool), 10, 0, seed).rows < 8) for seed in range(50)]
    assert np.mean(kept) > 7.5


def test_a_size_that_can_be_had_is_had_exactly() -> None:
    rng = np.random.default_rng(5)
    vectors = unit(rng.normal(size=(3_000, 16)).astype(np.float32))
    harsh = rng.random(3_000) < 0.97
    mix = uneven_mix(3_000, 200, rng)
    for seed in range(10):
        sample = drawn(mix, vectors, harsh, 200, 50, seed)
        assert len(sample) == 200
        # one in thirty is benign, so most of the fifty were drawn for care, and say so
        assert 50 <= np.count_nonzero(~harsh[sample.rows]) < 65
        assert sample.strategy.count("benign") > 25


def test_without_vectors_a_draw_has_nothing_to_thin() -> None:
    rng = np.random.default_rng(6)
    sample = drawn(uneven_mix(500, 60, rng), None, np.zeros(500, bool), 60, 20, 0)
    assert (len(sample), sample.thinned) == (60, 0)


def test_totals_weighted_by_the_stated_probabilities_are_unbiased() -> None:
    """Horvitz-Thompson: over many draws the weighted totals are right, and so is the weighted count of each text."""
    rng = np.random.default_rng(7)
    n, size, times = 120, 40, 2_000
    vectors, harsh = crowded(n, rng), rng.random(n) < 0.75
    mix = uneven_mix(n, size, rng)
    # what is estimated goes with what the strategies like, with what is near-alike, and with what is harsh
    many = np.array([len(others) for others in Space(vectors, NEAR).neighbours(np.arange(n))])
    assert many.mean() > 0.5
    values = {
        "count": np.ones(n),
        "liked": (either(np.stack(list(mix.values()))) > 0.3).astype(float),
        "alike": (many > 2).astype(float),
        "harsh": harsh.astype(float),
    }
    estimates: dict[str, list[float]] = {name: [] for name in values}
    each = np.zeros((times, n))
    for seed in range(times):
        sample = drawn(mix, vectors, harsh, size, 14, seed)
        each[seed, sample.rows] = 1 / sample.probability
        for name, value in values.items():
            estimates[name].append(float((value[sample.rows] / sample.probability).sum()))
    for name, found in estimates.items():
        error = float(np.std(found)) / np.sqrt(times)
        assert abs(np.mean(found) - values[name].sum()) <= 4 * error, name
    assert (np.abs(each.mean(axis=0) - 1) <= 5 * each.std(axis=0) / np.sqrt(times) + 1e-9).all()
    # unweighted, the same draws are far from it: the weights do the work
    naive = (each > 0) @ values["liked"] / (each > 0).sum(axis=1) * n
    assert naive.mean() > 1.3 * values["liked"].sum()
