"""Platt's scaling: probabilities that mean what they say, in the order of the decisions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from pipeline.errors import NotEnoughLabels
from pipeline.measure.metrics import calibration_error
from pipeline.models.calibration import fit_sigmoid

_pairs = st.lists(st.tuples(st.floats(-1e3, 1e3), st.booleans()), min_size=2, max_size=40)


@settings(deadline=None)
@example([(1e-08, False), (1e-08, True), (1e-08, True)])
@example([(0.0, True), (-2.22507386e-313, False)])
@given(_pairs)
def test_the_order_is_never_turned_around(pairs: list[tuple[float, bool]]) -> None:
    decisions, truth = np.array([d for d, _ in pairs]), np.array([t for _, t in pairs])
    assume(truth.any() and not truth.all())
    sigmoid = fit_sigmoid(decisions, truth)
    ordered = sigmoid(np.sort(decisions))
    assert (np.diff(ordered) >= 0).all()
    assert sigmoid.slope > 0
    assert np.isfinite([sigmoid.slope, sigmoid.offset]).all()
    assert ((ordered >= 0) & (ordered <= 1)).all()


def test_decisions_that_are_always_wrong_are_believed_less_not_reversed() -> None:
    decisions = np.linspace(-1, 1, 40)
    found = fit_sigmoid(decisions, decisions < 0)(decisions)
    assert found[0] <= found[-1]
    assert found == pytest.approx(np.full(40, 0.5), abs=0.01)


@pytest.mark.parametrize("texts", [2, 10, 200])
def test_separable_texts_give_probabilities_short_of_certain(texts: int) -> None:
    decisions = np.concatenate([np.full(texts // 2, -1.0), np.full(texts // 2, 1.0)])
    truth = decisions > 0
    found = fit_sigmoid(decisions, truth)(decisions)
    # Platt's targets: (n + 1) / (n + 2) and 1 / (n + 2)
    positives = texts // 2
    assert found[truth] == pytest.approx(np.full(positives, (positives + 1) / (positives + 2)), abs=0.01)
    assert found[~truth] == pytest.approx(np.full(positives, 1 / (positives + 2)), abs=0.01)


def test_a_known_sigmoid_is_found_again() -> None:
    rng = np.random.default_rng(3)
    decisions = rng.normal(0, 2, 50_000)
    truth = rng.random(50_000) < expit(1.7 * decisions - 0.8)
    sigmoid = fit_sigmoid(decisions, truth)
    assert sigmoid.slope == pytest.approx(1.7, rel=0.05)
    assert sigmoid.offset == pytest.approx(-0.8, abs=0.05)
    assert calibration_error(sigmoid(decisions), truth) < 0.01


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_the_decisions_does_not_matter(scale: float) -> None:
    rng = np.random.default_rng(4)
    decisions = rng.normal(0, 1, 500)
    truth = rng.random(500) < expit(2 * decisions)
    assert fit_sigmoid(decisions * scale, truth)(decisions * scale) == pytest.approx(
        fit_sigmoid(decisions, truth)(decisions), abs=1e-4
    )


@pytest.mark.parametrize("truth", [[], [True, True], [False, False]])
def test_texts_of_one_kind_are_not_enough(truth: list[bool]) -> None:
    with pytest.raises(NotEnoughLabels, match="some that deny it"):
        fit_sigmoid(np.arange(len(truth), dtype=np.float64), np.array(truth, dtype=bool))
