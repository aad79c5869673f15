"""What each strategy makes of texts, on arrays made by hand."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.measure.arrays import Floats
from pipeline.queue.candidates import Candidates, FilterMark, ReviewMark
from pipeline.queue.serving_order import harsh_rows
from pipeline.queue.strategies.known import STRATEGIES
from pipeline.queue.strategies.protocol import Chances
from pipeline.queue.strategies.uncertain import clusters
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.vectors.encoders.protocol import unit
from saring.web.sentences import in_words
from saring.web.words import all_words

MALAY = all_words()["ms"]
LABELS = ("hate", "porn", "safe for work")
HATE, PORN, SAFE = range(3)


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


def candidates(n: int, **more: Any) -> Candidates:
    nothing = np.zeros((n, len(LABELS)), bool)
    return Candidates(
        ids=[uuid.UUID(int=i) for i in range(n)],
        labels=LABELS,
        **{
            "share": np.ones(n),
            "decisions": np.full(nothing.shape, -1, np.int8),
            "tiers": ["unknown"] * n,
            "asserted": nothing,
            "demoted": nothing,
            "scores": np.full(nothing.shape, np.nan),
        }
        | more,
    )


def weigh(name: str, some: Candidates, size: float, seed: int = 0) -> Chances:
    return STRATEGIES[name].weigh(some, size, np.random.default_rng(seed))


def scored(rows: list[list[float]]) -> dict[str, Floats]:
    return {"probabilities": np.array(rows), "thresholds": np.full(len(LABELS), 0.5)}


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=25)
@given(
    n=st.integers(0, 120),
    size=st.floats(0.5, 80),
    knows=st.sets(st.sampled_from(["champion", "scores", "vectors", "ledger"])),
    seed=st.integers(0, 1_000),
)
def test_chances_are_chances_and_no_more_than_were_asked_for(
    name: str, n: int, size: float, knows: set[str], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (n, len(LABELS))
    more: dict[str, Any] = {"shortage": rng.random(len(LABELS))}
    if "champion" in knows:
        more |= {"probabilities": rng.random(shape), "thresholds": np.full(len(LABELS), 0.5)}
        more["probabilities"][:, PORN] = np.nan
    if "scores" in knows:
        more["scores"] = np.where(rng.random(shape) < 0.5, rng.random(shape), np.nan)
    if "vectors" in knows:
        more["vectors"] = unit(rng.normal(size=(n, 6)).astype(np.float32))
        more["vectors"][: n // 4] = 0
        more["centres"] = {PORN: unit(rng.normal(size=(1, 6)).astype(np.float32))[0]}
    if "ledger" in knows:
        more["decisions"] = rng.integers(-1, 2, shape).astype(np.int8)
        more["asserted"] = rng.random(shape) < 0.3
        more["filters"] = [FilterMark(row, HATE, "f", bool(row % 2), float(rng.random()), 0.5) for row in range(n)]
        more["reviews"] = [ReviewMark(row, SAFE, "centroid_dropped") for row in range(0, n, 7)]
    some = candidates(n, **more)
    chances = weigh(name, some, size, seed)
    assert chances.chance.shape == chances.priority.shape == (n,)
    assert ((chances.chance >= 0) & (chances.chance <= 1)).all()
    assert np.isfinite(chances.priority).all()
    assert chances.chance.sum() <= size * (1 + 1e-6)
    for row in np.flatnonzero(chances.chance):
        reason = chances.reason(int(row))
        assert reason
        assert "\n" not in reason
        assert in_words(MALAY, reason) != reason, "it can be said in Malay"
    again = weigh(name, some, size, seed)
    assert (again.chance == chances.chance).all()


def test_uncertain_prefers_what_the_champion_is_unsure_of_and_says_of_which_label() -> None:
    found = weigh("uncertain", candidates(3, **scored([[0.01, 0.01, 0.99], [0.5, 0.02, 0.4], [0.2, 0.01, 0.9]])), 1)
    assert found.chance.argmax() == 1
    assert found.chance.argmin() == 0
    assert found.label is not None
    assert found.label[1] == HATE
    assert found.reason(1) == "of the texts left, one that the champion is less sure of: hate 0.50, safe for work 0.40"
    assert found.note is None


def test_without_a_champion_the_raters_scores_stand_in_and_that_is_said() -> None:
    scores = np.full((3, 3), np.nan)
    scores[:2] = [[0.5, 0.1, 0.4], [0.02, 0.01, 0.98]]
    found = weigh("uncertain", candidates(3, scores=scores), 1)
    assert found.chance.argmax() == 0
    assert found.chance[2] > 0, "one that nobody scored is not shut out"
    assert "no model yet" in str(found.note)
    nothing = weigh("uncertain", candidates(3), 1)
    assert nothing.chance == pytest.approx([1 / 3] * 3)
    assert "at random" in str(nothing.note)


@pytest.mark.parametrize(("name", "usual", "sought"), [("uncertain", 0.03, 0.5), ("scarce", 0.2, 0.9)])
def test_a_crowd_of_usual_texts_leaves_the_draw_to_the_few_that_are_sought(
    name: str, usual: float, sought: float
) -> None:
    few, many = 100, 20_000
    p = np.full((few + many, 3), 0.01)
    p[:few, HATE], p[few:, HATE] = sought, np.linspace(0, usual, many)
    found = weigh(name, candidates(few + many, shortage=np.array([1.0, 0, 0]), **scored(p.tolist())), 100)
    assert found.chance[:few].sum() > 75
    # nobody is shut out for good: the probability of a draw stays above 0
    assert (found.chance[few + 1 :] > 0).all()


def test_uncertain_is_spread_over_the_space() -> None:
    """Nine texts in ten lie in one corner; each of the other corners gets more than its number would give it."""
    rng = np.random.default_rng(0)
    corners = unit(rng.normal(size=(4, 16)).astype(np.float32))
    corner = np.repeat([0, 1, 2, 3], [900, 40, 30, 30])
    vectors = unit(corners[corner] + 0.05 * rng.normal(size=(1_000, 16)).astype(np.float32))
    some = candidates(1_000, vectors=vectors, **scored([[0.4, 0.1, 0.6]] * 1_000))
    found = weigh("uncertain", some, 100)
    assert found.chance.sum() == pytest.approx(100)
    for small, by_number in ((1, 4), (2, 3), (3, 3)):
        assert found.chance[corner == small].sum() > 1.1 * by_number


def test_clusters_are_the_same_for_the_same_seed_and_texts_without_a_vector_are_apart() -> None:
    vectors = unit(np.random.default_rng(3).normal(size=(600, 12)).astype(np.float32))
    vectors[:50] = 0
    one, other = (clusters(vectors, np.random.default_rng(9)) for _ in range(2))
    assert (one == other).all()
    assert set(one[:50]) == {0}
    assert 0 not in one[50:]


def test_scarce_looks_for_the_labels_that_are_short_and_only_those() -> None:
    rows = [[0.9, 0.01, 0.1], [0.1, 0.8, 0.1], [0.1, 0.02, 0.9], [0.1, 0.02, 0.9]]
    some = candidates(4, shortage=np.array([0.0, 1.0, 0.0]), **scored(rows))
    found = weigh("scarce", some, 1)
    assert found.chance[1] > 0.99
    assert found.label is not None
    assert found.label[1] == PORN
    assert found.reason(1) == "porn needs more gold texts and is likely here (0.80)"
    enough = weigh("scarce", candidates(4, shortage=np.zeros(3), **scored(rows)), 1)
    assert not enough.chance.any()
    assert enough.note == "every label has enough gold texts"


def test_the_shorter_of_two_labels_gets_more() -> None:
    n = 1_000
    some = candidates(n, shortage=np.array([0.2, 0.8, 0.0]), **scored([[0.5, 0.3, 0.2]] * n))
    likely_hate, likely_porn = 500, 500
    p = np.full((n, 3), 0.01)
    p[:likely_hate, HATE], p[likely_hate:, PORN] = 0.9, 0.9
    found = weigh("scarce", candidates(n, shortage=some.shortage, **(scored([]) | {"probabilities": p})), 100)
    assert found.chance[likely_hate:].sum() == pytest.approx(4 * found.chance[:likely_hate].sum(), rel=0.02)
    assert likely_porn == n - likely_hate


def test_a_label_that_the_champion_does_not_know_is_looked_for_by_word_and_by_nearness() -> None:
    vectors = unit(np.array([[1, 0.1], [0.1, 1], [0.3, 1], [-1, 0.2], [-0.5, 1]], dtype=np.float32))
    p = np.full((5, 3), 0.01)
    p[:, PORN] = np.nan
    asserted = np.zeros((5, 3), bool)
    asserted[3, PORN] = True
    some = candidates(
        5,
        shortage=np.array([0.0, 1.0, 0.0]),
        asserted=asserted,
        vectors=vectors,
        centres={PORN: np.array([1, 0], np.float32)},
        probabilities=p,
        thresholds=np.array([0.5, np.nan, 0.5]),
    )
    found = weigh("scarce", some, 1)
    assert set(np.argsort(-found.chance)[:2]) == {0, 3}
    demoted = weigh("scarce", candidates(5, shortage=some.shortage, asserted=asserted, demoted=asserted), 0.5)
    assert demoted.reason(3).endswith("(0.20)"), "a filter's doubt counts"


def test_suspect_names_what_was_set_aside_what_is_at_the_cut_and_what_the_champion_contradicts() -> None:
    n = 24
    p = np.full((n, 3), 0.1)
    decisions = np.full((n, 3), -1, np.int8)
    decisions[:10, HATE], p[:10, HATE] = 1, 0.9
    decisions[10:20, HATE], p[10:20, HATE] = 0, 0.1
    p[3, HATE], p[12, HATE] = 0.02, 0.97
    some = candidates(
        n,
        decisions=decisions,
        probabilities=p,
        thresholds=np.full(3, 0.5),
        reviews=[ReviewMark(20, PORN, "centroid_dropped")],
        filters=[FilterMark(21, PORN, "f", True, 0.501, 0.5), FilterMark(22, PORN, "f", False, 0.1, 0.5)],
    )
    found = weigh("suspect", some, 4)
    assert set(np.flatnonzero(found.chance)) == {3, 12, 20, 21}
    assert found.reason(20) == "in a review sample: porn (centroid_dropped)"
    assert found.reason(21) == "porn kept at 0.501, close to the filter's cut 0.500"
    assert found.reason(3) == "hate is asserted, but the champion gives it a probability of 0.02"
    assert found.reason(12) == "hate is denied, but the champion gives it a probability of 0.97"
    assert found.priority[20] == found.priority.max()


def test_a_text_is_expected_to_be_harsh_by_anyones_word(taxonomy: Taxonomy) -> None:
    decisions = np.full((5, 3), -1, np.int8)
    decisions[1, HATE], decisions[4, SAFE] = 1, 1
    asserted = np.zeros((5, 3), bool)
    asserted[2, PORN] = True
    p = np.array([[0.2, 0.2, 0.9]] * 3 + [[0.6, 0.2, 0.9]] + [[0.2, 0.2, 0.9]])
    some = candidates(
        5, decisions=decisions, asserted=asserted, demoted=asserted, probabilities=p, thresholds=np.full(3, 0.5)
    )
    assert harsh_rows(some, taxonomy).tolist() == [False, True, True, True, False]
