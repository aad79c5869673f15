"""Two models on the same texts: what must hold of their difference, whatever they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, precision_score, recall_score

from pipeline.measure.arrays import UNKNOWN, LabelMatrix, Scores
from pipeline.measure.paired import Comparison, compare

_LABELS = ("hate", "porn", "violence")
seeds = st.integers(0, 1 << 30)


@settings(max_examples=30)
@given(seeds)
def test_a_model_differs_in_nothing_from_itself(seed: int) -> None:
    truth, one, _ = some_data(seed)
    found = compared(one, one, truth)
    differences = [duel.drop for duel in found.labels.values()]
    differences += [duel.difference for duel in (found.macro, *found.slices.values())]
    assert found.labels
    assert all((one.value, one.low, one.high) == (0, 0, 0) for one in differences)


@settings(max_examples=30)
@given(seeds)
def test_swapping_the_models_turns_the_difference_round(seed: int) -> None:
    truth, one, other = some_data(seed)
    there, back = compared(one, other, truth), compared(other, one, truth)
    for mine, theirs in zip((there.macro, *there.slices.values()), (back.macro, *back.slices.values()), strict=True):
        assert mine.difference.value == pytest.approx(-theirs.difference.value)
        assert mine.difference.low == pytest.approx(-theirs.difference.high)
        assert mine.champion == theirs.challenger


@settings(max_examples=30)
@given(seeds)
def test_the_order_of_texts_moves_no_point(seed: int) -> None:
    truth, one, other = some_data(seed)
    order = np.random.default_rng(seed).permutation(len(truth))
    before, after = compared(one, other, truth), compared(one[order], other[order], truth[order], order)
    assert points(after) == pytest.approx(points(before))


@settings(max_examples=30)
@given(seeds)
def test_what_is_said_of_unknown_texts_changes_nothing(seed: int) -> None:
    truth, one, other = some_data(seed)
    noise = np.random.default_rng(seed + 1).random(truth.shape)
    unknown = truth == UNKNOWN
    assert compared(np.where(unknown, noise, one), np.where(unknown, noise[::-1], other), truth) == compared(
        one, other, truth
    )


def test_each_number_is_what_scikit_learn_makes_of_the_known_texts() -> None:
    truth, one, other = some_data(3, texts=400)
    found = compared(one, other, truth)
    areas = []
    for i, label in enumerate(_LABELS):
        known = truth[:, i] != UNKNOWN
        yes, old, new = truth[known, i] == 1, one[known, i], other[known, i]
        duel = found.labels[label]
        assert duel.champion_average_precision.value == pytest.approx(average_precision_score(yes, old))
        assert duel.challenger_average_precision.value == pytest.approx(average_precision_score(yes, new))
        at = precision_score(yes, old >= 0.5)
        assert duel.precision.value == pytest.approx(at)
        assert duel.champion_recall.value >= recall_score(yes, old >= 0.5)
        precision, recall, _ = precision_recall_curve(yes, new)
        assert duel.challenger_recall.value == pytest.approx(max(recall[precision >= at - 1e-9], default=0))
        areas.append((average_precision_score(yes, old), average_precision_score(yes, new)))
    means = np.mean(areas, axis=0)
    assert (found.macro.champion.value, found.macro.challenger.value) == pytest.approx(tuple(means))
    assert found.macro.difference.value == pytest.approx(means[1] - means[0])


def test_pairing_narrows_the_interval_of_the_difference() -> None:
    truth, one, _ = some_data(5, texts=400)
    nearly = np.clip(one + np.random.default_rng(1).normal(0, 0.02, one.shape), 0, 1)
    macro = compared(one, nearly, truth).macro
    assert macro.difference.high - macro.difference.low < (macro.champion.high - macro.champion.low) / 2


def test_a_worse_challenger_loses_recall_at_the_same_precision() -> None:
    truth, one, _ = some_data(7, texts=600)
    found = compared(one, np.random.default_rng(2).random(one.shape), truth)
    assert found.macro.difference.high < 0
    assert all(duel.drop.low > 0 for duel in found.labels.values())
    assert all(part.difference.high < 0 for part in found.slices.values())


def test_a_label_that_the_champion_never_gives_has_no_recall_to_lose() -> None:
    truth, one, other = some_data(9)
    found = compared(one * 0.4, other, truth)
    assert all(duel.drop.value == 0 and np.isnan(duel.precision.value) for duel in found.labels.values())


def test_languages_with_texts_enough_are_slices_on_the_labels_that_they_have() -> None:
    truth, one, other = some_data(11, texts=200)
    truth[100:, 1] = UNKNOWN
    languages = ["ms"] * 100 + ["en"] * 80 + ["zh"] * 20
    found = compare(
        one, other, truth, _LABELS, one >= 0.5, languages=languages, rng=np.random.default_rng(0), resamples=50
    )
    assert {name: (part.texts, list(part.labels)) for name, part in found.slices.items()} == {
        "ms": (100, list(_LABELS)),
        "en": (80, ["hate", "violence"]),
    }
    alone = compare(
        one[:100], other[:100], truth[:100], _LABELS, one[:100] >= 0.5, languages=["ms"] * 100,
        rng=np.random.default_rng(0), resamples=50,
    )  # fmt: skip
    assert found.slices["ms"].difference.value == pytest.approx(alone.macro.difference.value)
    assert not alone.slices


def test_labels_with_too_few_texts_are_named() -> None:
    truth, one, other = some_data(13)
    truth[:, 2] = 0
    found = compared(one, other, truth)
    assert list(found.labels) == ["hate", "porn"]
    assert found.unmeasured == ["violence"]
    nothing = compared(one, other, np.full_like(truth, UNKNOWN))
    assert not nothing.labels
    assert nothing.to_dict()["macro"]["difference"] == {"value": None, "low": None, "high": None}
    assert replace(found, lost=("racist",)).to_dict()["lost"] == ["racist"]


def some_data(seed: int, texts: int = 90) -> tuple[LabelMatrix, Scores, Scores]:
    """A truth of which a fifth is unknown, and two models that are often right about it, with ties."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((texts, 3)) < (0.3, 0.5, 0.4)).astype(np.int8)
    one, other = (np.clip(np.round(0.35 + 0.3 * truth + rng.normal(0, 0.2, truth.shape), 2), 0, 1) for _ in range(2))
    truth[:4] = np.array([0, 1, 0, 1])[:, None]
    hidden = rng.random(truth.shape) < 0.2
    hidden[:4] = False
    truth[hidden] = UNKNOWN
    return truth, one, other


def compared(
    one: Scores, other: Scores, truth: LabelMatrix, order: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None
) -> Comparison:
    languages = np.array(["ms", "en"])[np.arange(len(truth)) % 2]
    return compare(
        one,
        other,
        truth,
        _LABELS,
        one >= 0.5,
        languages=languages[order if order is not None else slice(None)].tolist(),
        rng=np.random.default_rng(0),
        resamples=60,
    )


def points(found: Comparison) -> list[float]:
    of_labels = [(one.precision.value, one.drop.value, one.champion_recall.value) for one in found.labels.values()]
    return [value for one in of_labels for value in one] + [
        part.difference.value for part in (found.macro, *found.slices.values())
    ]
