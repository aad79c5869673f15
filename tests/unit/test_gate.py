"""The gate's rules, each on numbers made for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.learning.gate.rules import Check, Cost, Margins, Verdict, judge_challenger
from pipeline.measure.intervals import Estimate
from pipeline.measure.paired import Comparison, LabelComparison, MacroComparison, compare
from pipeline.settings import Settings

CHEAP = Cost(p50_ms=1, p95_ms=2, texts=100, bytes=3_000_000)
SAME = Estimate(0, -0.01, 0.01)


def macro(difference: Estimate, texts: int = 500) -> MacroComparison:
    some = Estimate(0.8, 0.75, 0.85)
    return MacroComparison(texts, ["hate"], some, replace(some, value=0.8 + difference.value), difference)


def label(drop: Estimate, recall: float = 0.7) -> LabelComparison:
    some = Estimate(recall, 0.5, 0.9)
    return LabelComparison(40, 400, some, some, Estimate(0.9, 0.8, 0.95), some, some, drop)


def comparison(
    difference: Estimate = SAME, drop: Estimate = SAME, part: Estimate = SAME, lost: tuple[str, ...] = ()
) -> Comparison:
    return Comparison(macro(difference), {"hate": label(drop)}, {"ms": macro(part)}, (), lost)


def judge(found: Comparison | None, cost: Cost = CHEAP, margins: Margins | None = None) -> Verdict:
    return judge_challenger(found, cost, margins or Margins(), challenger="new", champion="old")


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def test_no_worse_is_promoted_and_every_number_is_in_the_checks() -> None:
    verdict = judge(comparison())
    assert verdict.passed
    assert [check.name for check in verdict.checks] == [
        "macro average precision",
        "recall of hate",
        "language ms",
        "latency",
        "size",
    ]
    assert verdict.checks[3] == Check(
        "latency", True, 2, None, None, 100, "one text takes 2.0 ms at the 95th percentile, within the 100 ms allowed"
    )
    assert verdict.reason == (
        "on 500 test texts it scores 0.800 and the champion 0.800 (macro average precision of 1 label; "
        "difference +0.000 [-0.010, +0.010])"
    )


@pytest.mark.parametrize(
    ("difference", "passes"),
    [
        (Estimate(0.0, -0.02, 0.01), True),  # the whole interval above minus the margin
        (Estimate(-0.01, -0.019, -0.001), True),  # surely worse, by less than the margin
        (Estimate(-0.001, -0.021, 0.019), False),  # might be worse by more
        (Estimate(0.03, -0.05, 0.11), True),  # looks better, on few texts
        (Estimate(0.0, -0.05, 0.06), True),
        (Estimate(0.0, -0.05, 0.0), False),
        (Estimate(-0.2, -0.3, -0.1), False),
    ],
)
def test_macro_average_precision(difference: Estimate, passes: bool) -> None:
    verdict = judge(comparison(difference))
    assert verdict.passed == passes
    assert failed(verdict) == ([] if passes else ["macro average precision"])


@pytest.mark.parametrize(
    ("drop", "passes"),
    [
        (Estimate(0.04, 0.01, 0.07), True),  # surely, but little
        (Estimate(0.2, -0.01, 0.4), True),  # much, and perhaps by chance
        (Estimate(0.06, 0.01, 0.11), False),
        (Estimate(-0.1, -0.2, -0.05), True),
    ],
)
def test_recall_of_a_label_and_a_language_fail_by_the_same_rule(drop: Estimate, passes: bool) -> None:
    verdict = judge(comparison(drop=drop))
    assert failed(verdict) == ([] if passes else ["recall of hate"])
    gain = Estimate(-drop.value, -drop.high, -drop.low)
    verdict = judge(comparison(part=gain))
    assert failed(verdict) == ([] if passes else ["language ms"])
    if not passes:
        assert "drops by more than the 0.05 allowed (-0.060 [-0.110, -0.010])" in verdict.reason


def test_what_may_be_chance_is_said() -> None:
    [check] = [one for one in judge(comparison(drop=Estimate(0.2, -0.01, 0.4))).checks if one.name == "recall of hate"]
    assert check.says == (
        "recall of hate at precision 0.900 drops, which may be chance with 40 positive texts (-0.200 [-0.400, +0.010])"
    )


def test_a_label_that_only_the_champion_knows_fails() -> None:
    verdict = judge(comparison(lost=("porn",)))
    assert failed(verdict) == ["knows porn"]
    assert "only the champion knows porn" in verdict.reason


def test_budgets_hold_for_every_model() -> None:
    slow, large = replace(CHEAP, p95_ms=101), replace(CHEAP, bytes=501_000_000)
    assert failed(judge(comparison(), slow)) == ["latency"]
    assert failed(judge(comparison(), large)) == ["size"]
    first = judge_challenger(None, CHEAP, Margins(), challenger="new", champion=None)
    assert (first.passed, first.reason) == (True, "the first model of its purpose")
    first = judge_challenger(None, slow, Margins(), challenger="new", champion=None)
    assert not first.passed
    assert "101.0 ms at the 95th percentile, more than the 100 ms allowed" in first.reason


def test_the_champion_again_passes() -> None:
    verdict = judge_challenger(None, replace(CHEAP, p95_ms=99), Margins(), challenger="old", champion="old")
    assert (verdict.passed, verdict.reason) == (True, "nothing new to learn: old stays champion")


def test_without_a_measured_label_nothing_is_promoted() -> None:
    nothing = replace(comparison(), labels={}, slices={})
    for found in (None, nothing):
        assert (judge(found).passed, judge(found).reason) == (False, "no label could be compared with the champion")


@settings(max_examples=30)
@given(st.integers(0, 1 << 30), st.floats(0, 0.2), st.floats(0, 0.2))
def test_a_model_passes_against_itself_whatever_the_margins(seed: int, margin: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    truth = (rng.random((60, 2)) < 0.4).astype(np.int8)
    truth[:4] = np.array([0, 1, 0, 1])[:, None]
    p = np.clip(0.3 * truth + rng.random((60, 2)) * 0.7, 0, 1)
    languages = ["ms", "en"] * 30
    found = compare(p, p, truth, ["hate", "porn"], p >= 0.5, languages=languages, rng=rng, resamples=30)
    assert judge(found, margins=Margins(macro=margin, recall=other, slice=margin)).passed


@settings(max_examples=50)
@given(*(st.floats(-0.5, 0.5) for _ in range(3)), st.floats(0, 0.3), st.floats(0, 0.3))
def test_a_wider_margin_never_rejects_what_a_narrower_one_lets_pass(
    a: float, b: float, c: float, one: float, other: float
) -> None:
    low, value, high = sorted((a, b, c))
    found = comparison(Estimate(value, low, high), Estimate(-value, -high, -low), Estimate(value, low, high))
    narrow, wide = (Margins(macro=m, recall=m, slice=m) for m in sorted((one, other)))
    assert judge(found, margins=wide).passed or not judge(found, margins=narrow).passed


def test_margins_are_the_settings_of_the_home() -> None:
    assert Margins.of(Settings()) == Margins()
    assert Margins.of(Settings(gate_recall_margin=0.1, gate_size_mb=5)) == Margins(recall=0.1, size_mb=5)
