"""Where a pseudo-label is safe: the cut, and the held-out scores that it is chosen on."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import NotEnoughLabels
from pipeline.learning.pseudolabel import PseudoConfig, choose_safe_cut, held_out_decisions
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig

_LINEAR = LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1)
_FILLER = """
    semalam kami pergi kedai kawan baru jalan jauh pagi petang rumah besar kecil baik cantik murah lambat cepat ramai
    budak sekolah cikgu bas kereta motor laut bukit pulau kampung bandar cerita lagu filem buku main bola
"""

_probability = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
_held_out = st.lists(st.tuples(_probability, st.booleans()), min_size=1, max_size=60)


def sentence(rng: random.Random, *more: str) -> str:
    words = [*rng.choices(_FILLER.split(), k=12), *more]
    rng.shuffle(words)
    return " ".join(words)


def precision_above(cut: float, scored: list[tuple[float, bool]]) -> tuple[float, int]:
    passing = [truth for p, truth in scored if p >= cut]
    return sum(passing) / max(1, len(passing)), len(passing)


@settings(max_examples=300)
@given(_held_out, st.floats(0.5, 0.999), st.integers(1, 10))
@example([(5e-324, True), (0.0, False)], 0.95, 1)
@example([(0.5, True), (float(np.nextafter(0.5, 0)), False)], 0.95, 1)
def test_a_cut_holds_what_it_promises_on_the_texts_it_was_chosen_on(
    scored: list[tuple[float, bool]], target: float, least: int
) -> None:
    config = PseudoConfig(target_precision=target, min_passing=least)
    cut = choose_safe_cut(np.array([p for p, _ in scored]), np.array([t for _, t in scored]), config)
    if cut is None:
        # no cut whatever would have done
        every = [precision_above(p, scored) for p, _ in scored]
        assert all(passing < least or precision < target + 1e-12 for precision, passing in every)
        return
    precision, passing = precision_above(cut.value, scored)
    assert passing >= least
    assert precision == pytest.approx(cut.precision)
    assert precision >= target - 1e-12
    positives = sum(truth for _, truth in scored)
    assert cut.recall == pytest.approx(precision * passing / positives)
    assert cut.low <= cut.precision + 1e-9
    assert cut.precision <= cut.high + 1e-9
    # and no lower one would
    lower = [precision_above(p, scored)[0] for p, _ in scored if p < cut.value]
    assert all(one < target + 1e-12 for one in lower)


def test_the_cut_lies_between_the_last_good_text_and_the_next() -> None:
    probabilities = np.array([0.9] * 19 + [0.8] + [0.4] * 5)
    truth = np.array([True] * 19 + [False] + [False] * 5)
    cut = choose_safe_cut(probabilities, truth, PseudoConfig(target_precision=0.95))
    assert cut is not None
    assert (cut.value, cut.precision, cut.recall) == (pytest.approx(0.6), 0.95, 1.0)
    # Wilson's interval of 19 of 20
    assert (cut.low, cut.high) == (pytest.approx(0.764, abs=1e-3), pytest.approx(0.991, abs=1e-3))


def test_texts_of_one_score_pass_together_or_not_at_all() -> None:
    tied = np.array([0.9] * 15 + [0.7] * 10)
    truth = np.array([True] * 15 + [True, False] * 5)
    cut = choose_safe_cut(tied, truth, PseudoConfig(target_precision=0.9))
    assert cut is not None
    assert cut.value == pytest.approx(0.8)
    assert choose_safe_cut(np.full(25, 0.5), truth, PseudoConfig(target_precision=0.9)) is None


@pytest.mark.parametrize(
    ("probabilities", "truth"),
    [
        ([0.9] * 14 + [0.1] * 50, [True] * 14 + [False] * 50),
        ([0.5] * 100, [True, False] * 50),
        ([0.9] * 20 + [0.1] * 20, [False] * 20 + [True] * 20),
    ],
    ids=["too few pass", "no better than chance", "all wrong"],
)
def test_there_is_no_cut_where_none_is_safe(probabilities: list[float], truth: list[bool]) -> None:
    assert choose_safe_cut(np.array(probabilities), np.array(truth), PseudoConfig()) is None


def test_a_planted_word_is_told_on_texts_that_were_held_out() -> None:
    rng = random.Random(1)
    texts = [*(sentence(rng, "durian") for _ in range(40)), *(sentence(rng) for _ in range(120))]
    truth = np.array([True] * 40 + [False] * 120)
    decisions = held_out_decisions(texts, truth, "buah", _LINEAR, 2, np.random.default_rng(0))
    assert decisions[truth].min() > np.quantile(decisions[~truth], 0.95)
    again = held_out_decisions(texts, truth, "buah", _LINEAR, 2, np.random.default_rng(0))
    assert np.array_equal(decisions, again)


def test_a_copy_never_tells_the_label_of_what_it_copies() -> None:
    """Words that no two pairs share: nothing can be learnt of a text but from the other one of its pair."""
    rng = random.Random(2)
    pairs = [["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(12)] for _ in range(160)]
    truth = np.array([True, True] * 40 + [False, False] * 120)

    def told(texts: list[str]) -> float:
        scores = held_out_decisions(texts, truth, "x", _LINEAR, 2, np.random.default_rng(0))
        yes, no = scores[truth], scores[~truth]
        return float((yes[:, None] > no[None, :]).mean())

    copies = [text for words in pairs for text in (" ".join(words), f"{' '.join(words).upper()} !!!")]
    # the same words in another order are no near-duplicate, so there the one text does tell of the other
    reordered = [text for words in pairs for text in (" ".join(words), " ".join(rng.sample(words, 12)))]
    assert 0.35 < told(copies) < 0.65
    assert told(reordered) > 0.85


def test_positives_that_are_all_alike_cannot_be_held_out() -> None:
    rng = random.Random(3)
    spam = "jual klip panas murah murah hubungi kami sekarang juga di nombor ini ya kawan kawan semua"
    texts = [*(f"{spam} {'!' * i}" for i in range(40)), *(sentence(rng) for _ in range(80))]
    truth = np.array([True] * 40 + [False] * 80)
    with pytest.raises(NotEnoughLabels, match="'porn'"):
        held_out_decisions(texts, truth, "porn", _LINEAR, 2, np.random.default_rng(0))


def test_a_fold_without_texts_is_no_trouble() -> None:
    rng = random.Random(4)
    one, other = sentence(rng, "durian"), sentence(rng)
    third, fourth = sentence(rng, "durian"), sentence(rng)
    texts = [t for body in (one, third, other, fourth) for t in (f"{body} {'!' * i}" for i in range(30))]
    truth = np.array([True] * 60 + [False] * 60)
    decisions = held_out_decisions(texts, truth, "buah", _LINEAR, 2, np.random.default_rng(0))
    assert decisions.shape == (120,)
    assert np.isfinite(decisions).all()
