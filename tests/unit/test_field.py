"""Numbers of the stream from an uneven draw: over many draws they come out right, and the unweighted ones do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.measure.arrays import UNKNOWN, Floats, LabelMatrix, Scores
from pipeline.measure.metrics import average_precision
from pipeline.measure.stream import HajekEstimate, StreamMetrics, effective, weighted_metrics

_TEXTS = 3_000


@pytest.fixture(scope="module")
def stream() -> tuple[Scores, LabelMatrix, Floats]:
    """All texts that there are: probabilities, truth, and the chance that the queue draws each, greatest near 0.5."""
    rng = np.random.default_rng(1)
    truth = (rng.random((_TEXTS, 1)) < 0.15).astype(np.int8)
    probabilities = np.clip(0.2 + 0.4 * truth + rng.normal(0, 0.15, truth.shape), 0, 1)
    chance = np.clip(0.6 * np.exp(-40 * (probabilities[:, 0] - 0.5) ** 2), 0.05, 1)
    return probabilities, truth, chance


def numbers(found: StreamMetrics) -> dict[str, HajekEstimate]:
    one = found.labels["hate"]
    return {name: getattr(one, name) for name in ("prevalence", "precision", "recall", "average_precision")}


def measured(p: Scores, truth: LabelMatrix, inclusion: Floats, resamples: int = 2) -> StreamMetrics:
    return weighted_metrics(p, truth, p >= 0.5, ["hate"], inclusion, np.random.default_rng(0), resamples=resamples)


def test_over_many_draws_the_weighted_mean_is_the_streams_and_the_unweighted_is_not(
    stream: tuple[Scores, LabelMatrix, Floats],
) -> None:
    p, truth, chance = stream
    yes, said = truth[:, 0] == 1, p[:, 0] >= 0.5
    right = {
        "prevalence": yes.mean(),
        "precision": yes[said].mean(),
        "recall": said[yes].mean(),
        "average_precision": average_precision(p[:, 0], yes),
    }
    rng = np.random.default_rng(2)
    draws = []
    for _ in range(300):
        drawn = np.flatnonzero(rng.random(_TEXTS) < chance)
        draws.append(measured(p[drawn], truth[drawn], chance[drawn]))
    for name, value in right.items():
        weighted = np.array([numbers(one)[name].weighted.value for one in draws])
        plain = np.array([numbers(one)[name].unweighted.value for one in draws])
        # a ratio's own bias is of the order of one in the size of the sample, far below this
        assert abs(weighted.mean() - value) < 4 * weighted.std() / np.sqrt(len(draws)) + 0.003, name
        assert abs(plain.mean() - value) > 20 * plain.std() / np.sqrt(len(draws)), name
    for totals, size in (
        ([one.total.value for one in draws], _TEXTS),
        ([one.labels["hate"].total.value for one in draws], int(yes.sum())),
    ):
        # Horvitz-Thompson has no bias at all
        assert abs(np.mean(totals) - size) < 4 * np.std(totals) / np.sqrt(len(draws))


def test_an_interval_covers_the_streams_value_about_as_often_as_it_says(
    stream: tuple[Scores, LabelMatrix, Floats],
) -> None:
    p, truth, chance = stream
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(60):
        drawn = np.flatnonzero(rng.random(_TEXTS) < chance)
        found = measured(p[drawn], truth[drawn], chance[drawn], resamples=200).labels["hate"].prevalence.weighted
        covered += found.low <= truth.mean() <= found.high
    assert covered >= 51


@settings(max_examples=30)
@given(st.integers(0, 1 << 30), st.floats(0.01, 1))
def test_equal_chances_give_equal_numbers(seed: int, chance: float) -> None:
    p, truth = some_data(seed)
    found = measured(p, truth, np.full(len(p), chance), resamples=20)
    for one in numbers(found).values():
        for name in ("value", "low", "high"):
            assert getattr(one.weighted, name) == pytest.approx(getattr(one.unweighted, name), nan_ok=True)
    assert found.effective_texts == pytest.approx(len(p))
    assert found.total.value == pytest.approx(len(p) / chance)


@settings(max_examples=30)
@given(st.integers(0, 1 << 30))
def test_a_weight_counts_as_that_many_copies(seed: int) -> None:
    p, truth = some_data(seed)
    times = np.random.default_rng(seed).integers(1, 5, len(p))
    weighted = numbers(measured(p, truth, 1 / times))
    copied = numbers(measured(np.repeat(p, times, axis=0), np.repeat(truth, times, axis=0), np.ones(times.sum())))
    for name, one in weighted.items():
        assert one.weighted.value == pytest.approx(copied[name].unweighted.value, nan_ok=True)


@settings(max_examples=30)
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=50))
def test_unequal_weights_are_worth_fewer_texts(chances: list[float]) -> None:
    assert 1 - 1e-9 <= effective(1 / np.array(chances)) <= len(chances) + 1e-9


def test_unknown_texts_are_left_out_and_a_label_without_a_known_one_too() -> None:
    p, truth = some_data(4)
    hidden = truth.copy()
    hidden[30:] = UNKNOWN
    chance = np.linspace(0.1, 1, len(p))
    assert numbers(measured(p, hidden, chance))["recall"].weighted.value == pytest.approx(
        numbers(measured(p[:30], truth[:30], chance[:30]))["recall"].weighted.value
    )
    nothing = measured(p, np.full_like(truth, UNKNOWN), chance)
    assert nothing.labels == {}
    assert nothing.to_dict()["texts"] == len(p)


@pytest.mark.parametrize("chance", [0.0, -0.1, 1.1, float("nan")])
def test_a_chance_that_is_none_is_refused(chance: float) -> None:
    p, truth = some_data(5)
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        measured(p, truth, np.full(len(p), chance))


def some_data(seed: int) -> tuple[Scores, LabelMatrix]:
    rng = np.random.default_rng(seed)
    truth = (rng.random((60, 1)) < 0.4).astype(np.int8)
    truth[:2, 0] = (0, 1)
    return np.clip(np.round(0.35 + 0.3 * truth + rng.normal(0, 0.2, truth.shape), 2), 0, 1), truth
