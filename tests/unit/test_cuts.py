"""Where a label is cut, and what is said about it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import NotEnoughVectors, UsageError
from pipeline.filters.cuts import METHODS, Cut, Similarities, choose_cut


def two_groups(rng: np.random.Generator, low: int, high: int) -> tuple[Similarities, Similarities]:
    return rng.normal(0.78, 0.01, low), rng.normal(0.86, 0.012, high)


def test_quantile_drops_the_asked_share(rng: np.random.Generator) -> None:
    values = rng.normal(0.8, 0.05, 1_000)
    chosen = choose_cut(values, Cut("quantile", quantile=0.2))
    assert (values < chosen.value).sum() == 200
    assert chosen.reason == "quantile: the lowest 20% of 1000"


def test_quantile_of_nothing_drops_nothing(rng: np.random.Generator) -> None:
    values = rng.normal(0.8, 0.05, 100)
    assert not (values < choose_cut(values, Cut("quantile", quantile=0)).value).any()


def test_robust_z_is_not_moved_by_outliers(rng: np.random.Generator) -> None:
    good = rng.normal(0.85, 0.01, 900)
    chosen = choose_cut(np.concatenate([good, np.full(100, 0.2)]), Cut("robust-z", z=2.5))
    assert 0.80 < chosen.value < 0.84
    assert chosen.reason.startswith("robust-z: median 0.8")


def test_robust_z_spares_texts_just_off_a_crowd_of_equals() -> None:
    values = np.array([0.9] * 60 + [0.89] * 20 + [0.88] * 19 + [0.3])
    dropped = values < choose_cut(values, Cut("robust-z")).value
    assert values[dropped].tolist() == [0.3]


def test_mixture_cuts_in_the_valley(rng: np.random.Generator) -> None:
    low, high = two_groups(rng, 200, 1_800)
    chosen = choose_cut(np.concatenate([high, low]), Cut())
    assert chosen.method == "mixture"
    assert (low < chosen.value).mean() > 0.98
    assert (high >= chosen.value).mean() > 0.98
    assert re.fullmatch(r"mixture: means 0\.7[78]\d/0\.8[56]\d, 10% in the lower", chosen.reason)


def test_mixture_finds_groups_a_thousandth_apart(rng: np.random.Generator) -> None:
    values = 0.9 + 0.01 * np.concatenate(two_groups(rng, 200, 1_800))
    chosen = choose_cut(values, Cut())
    assert chosen.method == "mixture"
    assert 0.85 < (values >= chosen.value).mean() < 0.95


@pytest.mark.parametrize(
    ("low", "high", "why"),
    [
        (0, 2_000, "BIC prefers one component"),
        (1_500, 500, "its lower component holds 75%"),
        (2, 10, "12 texts are too few"),
    ],
)
def test_without_two_groups_the_robust_z_decides_and_says_so(
    rng: np.random.Generator, low: int, high: int, why: str
) -> None:
    values = np.concatenate(two_groups(rng, low, high))
    chosen, plain = choose_cut(values, Cut()), choose_cut(values, Cut("robust-z"))
    assert (chosen.value, chosen.method) == (plain.value, "robust-z")
    assert chosen.reason.startswith(f"{plain.reason}; no mixture: {why}")


def test_groups_that_overlap_are_not_told_apart(rng: np.random.Generator) -> None:
    values = np.concatenate([rng.normal(0.85, 0.01, 3_000), rng.normal(0.86, 0.03, 2_000)])
    assert "no mixture: its components are not apart (Ashman's D" in choose_cut(values, Cut()).reason


@pytest.mark.parametrize("method", METHODS)
def test_equal_similarities_are_all_kept(method: str) -> None:
    values = np.full(100, 0.1 + 0.2)
    assert not (values < choose_cut(values, Cut(method)).value).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_order_does_not_matter(rng: np.random.Generator, method: str) -> None:
    values = np.concatenate(two_groups(rng, 300, 700))
    cut = Cut(method)  # type: ignore[arg-type]
    assert choose_cut(values, cut) == choose_cut(rng.permutation(values), cut)


@given(
    values=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60),
    method=st.sampled_from(METHODS),
)
def test_any_similarities_give_a_cut_that_keeps_most(values: list[float], method: str) -> None:
    chosen = choose_cut(np.array(values), Cut(method))  # type: ignore[arg-type]
    assert (np.array(values) >= chosen.value).mean() >= 0.5
    assert chosen.value == np.float32(chosen.value)
    assert "\n" not in chosen.reason


def test_nothing_cannot_be_cut() -> None:
    with pytest.raises(NotEnoughVectors, match="saring embed"):
        choose_cut(np.array([]), Cut())


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "by eye"},
        {"quantile": 1.0},
        {"z": 0},
        {"trim": 0.6},
        {"min_support": 1},
        {"review_share": 1.5},
        {"review_min": -1},
    ],
)
def test_impossible_parameters_are_named(wrong: dict[str, object]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(UsageError, match=str(value) if name == "method" else f"{name}={value}"):
        Cut(**wrong)  # type: ignore[arg-type]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
