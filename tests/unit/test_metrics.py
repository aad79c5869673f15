"""What is said of a model: each number against its definition, and what must not move it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from pipeline.measure.arrays import UNKNOWN, LabelMatrix, Scores
from pipeline.measure.intervals import Estimate
from pipeline.measure.metrics import Metrics, average_precision, calibration_error, measure

_LABELS = ("hate", "porn", "violence")
#: few values, so that there are ties
_ranked = st.lists(st.tuples(st.integers(0, 6).map(lambda i: i / 6), st.booleans()), min_size=1, max_size=40)


@settings(deadline=None)
@given(_ranked)
def test_average_precision_is_scikit_learns_ties_and_all(pairs: list[tuple[float, bool]]) -> None:
    probabilities, truth = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])
    assume(truth.any())
    assert average_precision(probabilities, truth) == pytest.approx(average_precision_score(truth, probabilities))


@settings(deadline=None)
@given(_ranked, st.randoms(use_true_random=False))
def test_a_weight_counts_as_that_many_copies(pairs: list[tuple[float, bool]], random: object) -> None:
    probabilities, truth = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])
    times = np.random.default_rng(random.randrange(1 << 30)).integers(0, 4, len(pairs))  # type: ignore[attr-defined]
    assume((truth & (times > 0)).any())
    weighted = average_precision(probabilities, truth, times.astype(np.float64))
    assert weighted == pytest.approx(average_precision(np.repeat(probabilities, times), np.repeat(truth, times)))


@settings(deadline=None)
@given(_ranked, st.permutations(range(40)))
def test_the_order_of_texts_says_nothing(pairs: list[tuple[float, bool]], order: list[int]) -> None:
    probabilities, truth = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])
    assume(truth.any())
    shuffled = [i for i in order if i < len(pairs)]
    assert average_precision(probabilities[shuffled], truth[shuffled]) == pytest.approx(
        average_precision(probabilities, truth)
    )


def test_average_precision_without_a_positive_is_no_number() -> None:
    assert np.isnan(average_precision(np.array([0.2, 0.7]), np.array([False, False])))
    assert np.isnan(average_precision(np.array([]), np.array([], dtype=bool)))


def test_probabilities_that_mean_what_they_say_have_no_calibration_error(rng: np.random.Generator) -> None:
    probabilities = rng.random(200_000)
    truth = rng.random(200_000) < probabilities
    assert calibration_error(probabilities, truth) < 0.01
    assert calibration_error(probabilities**2, truth) > 0.1


def test_calibration_error_is_the_mean_gap_over_bins_of_equal_count() -> None:
    probabilities, truth = np.array([0.1, 0.3, 0.6, 0.8]), np.array([False, True, True, True])
    # (0.2 against 0.5) and (0.7 against 1.0)
    assert calibration_error(probabilities, truth, bins=2) == pytest.approx(0.3)
    assert calibration_error(np.ones(5), np.ones(5, dtype=bool)) == 0
    assert np.isnan(calibration_error(np.array([]), np.array([], dtype=bool)))


def test_each_number_is_what_scikit_learn_makes_of_the_known_texts(rng: np.random.Generator) -> None:
    probabilities, truth = some_data(rng, 300)
    found = measured(probabilities, truth)
    for i, label in enumerate(_LABELS):
        known = truth[:, i] != UNKNOWN
        yes, p = truth[known, i] == 1, probabilities[known, i]
        one = found.labels[label]
        assert (one.positives, one.negatives) == (yes.sum(), (~yes).sum())
        assert one.average_precision.value == pytest.approx(average_precision_score(yes, p))
        assert one.precision.value == pytest.approx(precision_score(yes, p >= 0.5))
        assert one.recall.value == pytest.approx(recall_score(yes, p >= 0.5))
        assert one.f1.value == pytest.approx(f1_score(yes, p >= 0.5))
        assert one.brier == pytest.approx(float(np.mean((p - yes) ** 2)))
        assert one.calibration_error == calibration_error(p, yes)
        assert one.threshold == 0.5
    known = truth != UNKNOWN
    assert found.micro_average_precision.value == pytest.approx(
        average_precision_score(truth[known] == 1, probabilities[known])
    )
    assert found.micro_f1.value == pytest.approx(f1_score(truth[known] == 1, probabilities[known] >= 0.5))
    mean = np.mean([one.average_precision.value for one in found.labels.values()])
    assert found.macro_average_precision.value == pytest.approx(float(mean))
    assert found.macro_f1.value == pytest.approx(float(np.mean([one.f1.value for one in found.labels.values()])))


def test_every_interval_holds_its_point(rng: np.random.Generator) -> None:
    found = measured(*some_data(rng, 400))
    for estimate in estimates(found):
        assert estimate.low < estimate.value < estimate.high


def test_intervals_shrink_with_more_texts(rng: np.random.Generator) -> None:
    few, many = measured(*some_data(rng, 200)), measured(*some_data(rng, 5_000))
    for small, large in zip(estimates(few), estimates(many), strict=True):
        assert large.high - large.low < (small.high - small.low) / 2


def test_an_interval_covers_the_truth_about_as_often_as_it_says(rng: np.random.Generator) -> None:
    # recall of a cut that finds each positive with probability 0.7
    covered = 0
    for _ in range(100):
        truth = (np.arange(200) % 2).astype(np.int8)[:, None]
        given = (rng.random(200) < 0.7)[:, None] & (truth == 1)
        found = measure(given * 1.0, truth, ["hate"], given, thresholds={"hate": 0.5}, rng=rng, resamples=200)
        covered += found.labels["hate"].recall.low <= 0.7 <= found.labels["hate"].recall.high
    assert covered >= 86


def test_the_same_seed_draws_the_same_intervals(rng: np.random.Generator) -> None:
    probabilities, truth = some_data(rng, 100)
    assert measured(probabilities, truth) == measured(probabilities, truth)


@settings(deadline=None)
@given(st.integers(0, 1 << 30))
def test_what_is_said_of_unknown_texts_never_changes_a_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, truth = some_data(rng, 40)
    given = probabilities >= 0.5
    unknown = truth == UNKNOWN
    other, other_given = probabilities.copy(), given.copy()
    other[unknown] = rng.random(int(unknown.sum()))
    other_given[unknown] = rng.random(int(unknown.sum())) < 0.5
    before, after = (
        measure(
            p, truth, _LABELS, g, thresholds=dict.fromkeys(_LABELS, 0.5), rng=np.random.default_rng(0), resamples=20
        )
        for p, g in ((probabilities, given), (other, other_given))
    )
    assert before.to_dict() == after.to_dict()


def test_more_texts_of_which_nothing_is_known_change_no_point(rng: np.random.Generator) -> None:
    probabilities, truth = some_data(rng, 100)
    more = np.concatenate([probabilities, rng.random((50, 3))])
    found = measured(more, np.concatenate([truth, np.full((50, 3), UNKNOWN, dtype=np.int8)]))
    assert points(found) == pytest.approx(points(measured(probabilities, truth)))


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2), (2, 1, 0)])
def test_the_order_of_labels_changes_nothing(rng: np.random.Generator, order: Sequence[int]) -> None:
    probabilities, truth = some_data(rng, 150)
    one = measured(probabilities, truth)
    columns = list(order)
    other = measured(probabilities[:, columns], truth[:, columns], tuple(_LABELS[i] for i in columns))
    assert other.labels == one.labels
    for mine, theirs in zip(estimates(other), estimates(one), strict=True):
        assert (mine.value, mine.low, mine.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_labels_with_too_few_texts_are_named_and_count_for_nothing(rng: np.random.Generator) -> None:
    probabilities, truth = some_data(rng, 100)
    truth[:, 1] = 0
    truth[0, 1] = 1
    found = measured(probabilities, truth)
    assert list(found.labels) == ["hate", "violence"]
    assert found.unmeasured == ["porn"]
    mean = (found.labels["hate"].f1.value + found.labels["violence"].f1.value) / 2
    assert found.macro_f1.value == pytest.approx(mean)


def test_nothing_that_can_be_measured_is_not_an_error() -> None:
    truth = np.array([[1, 0, -1], [0, 0, -1]], dtype=np.int8)
    found = measured(np.full((2, 3), 0.3), truth)
    assert found.unmeasured == list(_LABELS)
    assert found.to_dict()["macro_average_precision"] == {"value": None, "low": None, "high": None}
    assert found.to_dict()["micro_f1"]["value"] is None
    assert found.texts == 2


def test_a_model_that_never_gives_a_label_has_no_precision(rng: np.random.Generator) -> None:
    truth = np.array([[1], [1], [0], [0]], dtype=np.int8)
    never = np.zeros((4, 1), dtype=bool)
    found = measure(rng.random((4, 1)), truth, ["hate"], never, thresholds={"hate": 2.0}, rng=rng, resamples=20)
    assert found.to_dict()["labels"]["hate"]["precision"]["value"] is None
    assert found.labels["hate"].recall.value == found.labels["hate"].f1.value == 0


def some_data(rng: np.random.Generator, texts: int) -> tuple[Scores, LabelMatrix]:
    """Probabilities that are often right, with ties, and a truth of which a fifth is unknown."""
    truth = (rng.random((texts, 3)) < (0.3, 0.5, 0.4)).astype(np.int8)
    probabilities = np.clip(np.round(0.3 + 0.35 * truth + rng.normal(0, 0.2, truth.shape), 2), 0, 1)
    # two of each stay known whatever is drawn
    truth[:4] = np.array([0, 1, 0, 1])[:, None]
    hidden = rng.random(truth.shape) < 0.2
    hidden[:4] = False
    truth[hidden] = UNKNOWN
    return probabilities, truth


def measured(probabilities: Scores, truth: LabelMatrix, labels: Sequence[str] = _LABELS) -> Metrics:
    return measure(
        probabilities,
        truth,
        labels,
        probabilities >= 0.5,
        thresholds=dict.fromkeys(labels, 0.5),
        rng=np.random.default_rng(1),
        resamples=200,
    )


def estimates(found: Metrics) -> list[Estimate]:
    of_all = [found.macro_average_precision, found.macro_f1, found.micro_average_precision, found.micro_f1]
    for label in sorted(found.labels):
        one = found.labels[label]
        of_all += [one.average_precision, one.precision, one.recall, one.f1]
    return of_all


def points(found: Metrics) -> list[float]:
    return [estimate.value for estimate in estimates(found)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
