"""Policies: thresholds that keep what they promise on the dev texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.models.policies import BUILT_IN, Policy, apply_policy, dev_curve, parse_policy, threshold_for
from pipeline.models.thresholds import Objective, choose_threshold

_rows = st.lists(st.tuples(st.integers(0, 20).map(lambda i: i / 20), st.booleans()), min_size=2, max_size=80).filter(
    lambda rows: any(has for _, has in rows)
)


def _figures(probabilities: np.ndarray, truth: np.ndarray, threshold: float) -> tuple[float, float]:
    given_ = probabilities >= threshold - 1e-5
    hits = (given_ & truth).sum()
    return hits / max(1, given_.sum()), hits / truth.sum()


@given(_rows, st.sampled_from(["precision", "recall"]), st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_a_target_that_is_said_to_be_reached_is_reached_on_the_dev_texts(
    rows: list[tuple[float, bool]], kind: str, target: float
) -> None:
    probabilities, truth = np.array([p for p, _ in rows]), np.array([has for _, has in rows])
    chosen = threshold_for(dev_curve(probabilities, truth), Objective(kind, target))  # type: ignore[arg-type]
    precision, recall = _figures(probabilities, truth, chosen.value)
    assert precision == pytest.approx(chosen.precision, abs=2e-5)
    assert recall == pytest.approx(chosen.recall, abs=2e-5)
    if chosen.reached:
        assert (precision if kind == "precision" else recall) >= target - 2e-5
    # few texts: no point is left out, so the curve chooses as the training does
    whole = choose_threshold(probabilities, truth, Objective(kind, target))  # type: ignore[arg-type]
    assert whole.reached == chosen.reached
    if whole.reached:
        assert (chosen.precision, chosen.recall) == pytest.approx((whole.precision, whole.recall), abs=2e-5)


def test_a_curve_of_many_texts_stays_small_and_has_both_ends() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(5_000) < 0.3
    curve = dev_curve(np.clip(truth * 0.4 + rng.random(5_000) * 0.6, 0, 1), truth)
    assert len(curve.thresholds) <= 100
    assert curve.recall[-1] == 1.0
    assert list(curve.thresholds) == sorted(curve.thresholds, reverse=True)
    assert (curve.positives, curve.negatives) == (truth.sum(), (~truth).sum())


def test_a_label_without_a_curve_keeps_the_model_s_own_threshold_and_says_so() -> None:
    [row] = apply_policy(BUILT_IN["strict"], {"hate": 0.4}, {}).values()
    assert (row.threshold, row.precision, row.reached) == (0.4, None, False)
    [own] = apply_policy(Policy("balanced"), {"hate": 0.4}, {}).values()
    assert own.reached


def test_targets_that_are_none_are_refused() -> None:
    assert parse_policy("a", "f1", {"hate": "recall=0.9"}).labels["hate"] == Objective("recall", 0.9)
    for target in ("0.9", "precision", "precision=1.2", "accuracy=0.9"):
        with pytest.raises(UsageError, match="precision=P"):
            parse_policy("a", target, {})


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=4, max_size=40))
def test_the_model_s_own_threshold_has_its_own_figures_however_many_digits_it_has(
    rows: list[tuple[float, bool]],
) -> None:
    probabilities, truth = np.array([p for p, _ in rows]), np.array([has for _, has in rows])
    assume(truth.any() and len(np.unique(probabilities.round(4))) == len(rows))
    own = choose_threshold(probabilities, truth, Objective("f1")).value
    applied = apply_policy(Policy("own"), {"hate": own}, {"hate": dev_curve(probabilities, truth)})["hate"]
    precision, recall = _figures(probabilities, truth, own)
    assert (applied.precision, applied.recall) == pytest.approx((precision, recall), abs=2e-5)
