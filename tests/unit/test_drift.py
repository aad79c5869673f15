"""Rules of drift: what is the same raises no alarm however many texts there are, and what shifted does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.drift.shifts import (
    Limits,
    Moments,
    mean_shift,
    share_shift,
    shift_alarms,
    vector_alarms,
)
from pipeline.drift.two_sample import LEAST, TwoSample, two_sample_test
from pipeline.measure.arrays import Floats
from pipeline.measure.intervals import Estimate


def normal(rng: np.random.Generator, texts: int, centre: float = 0.0) -> np.ndarray:
    """Vectors of length 1 around a direction."""
    vectors = rng.normal(size=(texts, 16))
    vectors[:, 0] += centre
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def compared(rng: np.random.Generator, recent: int, reference: int, centre: float = 0.0) -> TwoSample:
    test = two_sample_test(normal(rng, recent, centre), normal(rng, reference), rng=rng)
    assert test is not None
    return test


def moments(values: Floats) -> Moments:
    return Moments(len(values), float(values.sum()), float(np.square(values).sum()))


def test_samples_of_one_distribution_have_p_values_that_are_spread_evenly() -> None:
    """Small p-values come no more often than they say, so an alarm limit means what it says."""
    rng = np.random.default_rng(11)
    values = np.array([compared(rng, 120, 120).p_value for _ in range(150)])
    assert (values <= 0.05).mean() <= 0.1
    assert (values <= 0.5).mean() <= 0.62
    assert 0.4 < values.mean() < 0.7
    assert values.min() < 0.1
    assert values.max() > 0.9


def test_a_planted_shift_is_told_and_its_size_is_the_accuracy() -> None:
    rng = np.random.default_rng(12)
    little, large = compared(rng, 600, 900, centre=1.0), compared(rng, 600, 900, centre=4.0)
    assert little.p_value < 1e-4
    assert little.texts == 600
    assert 0.6 < little.accuracy.value < large.accuracy.value <= 1.0
    assert large.accuracy.value > 0.9


def test_the_most_new_vectors_are_those_that_are_new() -> None:
    """A tenth of the recent vectors is from elsewhere: it comes first, and no vector that was learnt from is named."""
    rng = np.random.default_rng(13)
    recent = normal(rng, 600)
    recent[::10] = normal(rng, 60, centre=6.0)
    test = two_sample_test(recent, normal(rng, 600), rng=rng, most=15)
    assert test is not None
    places = [place for place, _ in test.newest]
    assert len(set(places)) == 15
    assert sum(place % 10 == 0 for place in places) >= 10
    probabilities = [probability for _, probability in test.newest]
    assert probabilities == sorted(probabilities, reverse=True)


def test_the_same_seed_gives_the_same_test_and_too_few_vectors_give_none() -> None:
    recent, reference = normal(np.random.default_rng(1), 200), normal(np.random.default_rng(2), 200)
    first, second = (two_sample_test(recent, reference, rng=np.random.default_rng(5)) for _ in range(2))
    assert first == second
    assert two_sample_test(recent[: LEAST - 1], reference, rng=np.random.default_rng(5)) is None


def test_a_million_texts_raise_no_alarm_at_a_difference_that_does_not_matter() -> None:
    """The p-value alone would."""
    shift = share_shift("hate", (50_000, 1_000_000), (51_000, 1_000_000))
    assert shift.p_value is not None and shift.p_value < 0.01
    assert shift_alarms("label", [shift], Limits()) == []
    test = TwoSample(100_000, Estimate(0.53, 0.527, 0.533), 1e-40, ())
    assert vector_alarms("training", test, Limits()) == []


def test_a_few_texts_raise_no_alarm_at_a_difference_that_may_be_chance() -> None:
    """The effect alone would."""
    shift = share_shift("hate", (4, 40), (8, 40))
    assert shift.effect is not None and shift.effect > 0.2
    assert shift_alarms("label", [shift], Limits()) == []
    assert share_shift("hate", (0, 10), (10, 10)).p_value is None


def test_a_shift_that_is_certain_and_large_is_an_alarm_the_largest_first() -> None:
    shifts = [
        share_shift("hate", (50, 1_000), (150, 1_000)),
        share_shift("porn", (50, 1_000), (400, 1_000)),
        share_shift("violence", (50, 1_000), (52, 1_000)),
    ]
    alarms = shift_alarms("label", shifts, Limits())
    assert [(alarm.name, alarm.before, alarm.now) for alarm in alarms] == [("porn", 0.05, 0.4), ("hate", 0.05, 0.15)]
    assert vector_alarms("earlier", TwoSample(500, Estimate(0.8, 0.76, 0.83), 1e-30, ()), Limits())[0].effect == 0.8


def test_a_mean_score_shifts_by_standard_deviations() -> None:
    rng = np.random.default_rng(6)
    before, now = rng.normal(0.3, 0.1, 4_000), rng.normal(0.35, 0.1, 4_000)
    shift = mean_shift("hate", moments(before), moments(now))
    assert shift.effect == pytest.approx(0.5, abs=0.1)
    assert [alarm.name for alarm in shift_alarms("score", [shift], Limits())] == ["hate"]
    same = mean_shift("hate", moments(before[:2_000]), moments(before[2_000:]))
    assert shift_alarms("score", [same], Limits()) == []


def test_no_drift_raises_no_alarm_in_nearly_all_of_many_looks() -> None:
    """Twelve labels of rates from rare to common, looked at two hundred times."""
    rng = np.random.default_rng(7)
    rates = np.linspace(0.01, 0.6, 12)
    alarmed = 0
    for _ in range(200):
        before, now = rng.binomial(2_000, rates), rng.binomial(600, rates)
        shifts = [share_shift(str(i), (int(before[i]), 2_000), (int(now[i]), 600)) for i in range(12)]
        alarmed += bool(shift_alarms("label", shifts, Limits(effect=0.0)))
    assert alarmed <= 8


_halves = st.integers(30, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(_halves, _halves)
def test_a_shift_there_and_back_is_the_same_shift(before: tuple[int, int], now: tuple[int, int]) -> None:
    there, back = share_shift("x", before, now), share_shift("x", now, before)
    assert there.effect is not None and back.effect is not None
    assert there.effect == pytest.approx(-back.effect)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.p_value is not None and 0 <= there.p_value <= 1


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=20), min_size=1, max_size=4))
def test_sums_over_weeks_are_sums_over_all_texts(weeks: list[list[float]]) -> None:
    together = sum((moments(np.array(week)) for week in weeks), Moments(0, 0.0, 0.0))
    values = np.array([value for week in weeks for value in week])
    assert together.mean == pytest.approx(values.mean())
    if len(values) > 1:
        assert together.variance == pytest.approx(values.var(ddof=1), abs=1e-9)
