"""Label errors that were planted, and the errors of raters, by cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.learning.label_errors import LabelVotes, find_errors, likely_wrong
from pipeline.learning.neighbour_votes import neighbour_votes
from pipeline.learning.sets.examples import Examples
from pipeline.learning.sets.folds import deal_folds
from pipeline.measure.arrays import Booleans
from pipeline.measure.noisy_votes import Votes, believe
from pipeline.models.features import NgramConfig
from pipeline.texts.normalise import text_id

_SMALL = NgramConfig(char_bits=12, word_bits=11)
_NO_RATER = np.zeros(0, dtype=np.int64)


def one_vote(given: Booleans) -> Votes:
    rows = np.arange(len(given))
    return Votes(rows, np.zeros(len(given), dtype=np.int64), given)


def test_the_noise_of_each_answer_is_told_apart() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=6_000) * 3
    truth = rng.random(6_000) < 1 / (1 + np.exp(-scores))
    given = truth ^ (rng.random(6_000) < np.where(truth, 0.3, 0.02))
    found = believe(scores, one_vote(given))
    assert found.false_no[0] == pytest.approx(0.3, abs=0.05)
    assert found.false_yes[0] == pytest.approx(0.02, abs=0.02)
    # of a no that the score contradicts, and of a yes that it contradicts as much, the no is the likelier error
    asked = np.array([3.0, -3.0])
    p = found.of_others(asked, one_vote(np.array([False, True])))
    assert p[0] > 0.7 > 1 - p[1]


def test_a_careless_rater_is_known_and_counts_less() -> None:
    rng = np.random.default_rng(4)
    truth = rng.random(2_000) < 0.4
    errors = (0.05, 0.1, 0.4)
    answers = np.column_stack([truth ^ (rng.random(2_000) < error) for error in errors])
    votes = Votes(np.repeat(np.arange(2_000), 3), np.tile(np.arange(3), 2_000), answers.reshape(-1))
    scores = np.where(truth, 0.5, -0.5) + rng.normal(size=2_000)
    found = believe(scores, votes)
    assert (found.false_yes + found.false_no)[0] < (found.false_yes + found.false_no)[1] < 0.4
    assert (found.false_yes + found.false_no)[2] > 0.6
    majority = answers.sum(axis=1) >= 2
    assert ((found.probability > 0.5) == truth).mean() > (majority == truth).mean()


def test_texts_without_a_vote_have_the_probability_of_their_score() -> None:
    found = believe(np.array([-2.0, -1.0, 1.0, 2.0] * 20), one_vote(np.array([False, False, True, True] * 20)))
    nobody = Votes(_NO_RATER, _NO_RATER, np.zeros(0, dtype=bool))
    low, high = found.of_others(np.array([-2.0, 2.0]), nobody)
    assert low < 0.2 < 0.8 < high


def test_neighbours_vote_but_not_copies_of_the_text_itself() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.9, 0.1], [0, 1], [0, 0]], dtype=np.float32)
    given = np.array([[0], [0], [1], [1], [-1]], dtype=np.int8)
    groups = np.array([0, 0, 2, 3, 4])
    near = neighbour_votes(vectors, vectors, given, groups, itself=True)
    # the first two are copies of each other; the third is their only neighbour
    assert near.known[:, 0].tolist()[:2] == [1, 1]
    assert near.yes[:, 0].tolist()[:2] == [1, 1]
    assert near.share[0, 0] > 0.6
    # a text without a vector has no neighbours
    assert near.known[4, 0] == 0
    assert near.share[4, 0] == pytest.approx(0.5)


def planted(texts: int, wrong: int, seed: int) -> tuple[Examples, set[int]]:
    """Texts whose labels follow from words in them, but for some planted errors; and the rows of these."""
    rng = np.random.default_rng(seed)
    signs = {"porn": ("lucah", "cabul"), "violence": ("tumbuk", "pukul")}
    filler = ["semalam", "kami", "pergi", "kedai", "kawan", "baru", "jalan", "jauh", "pagi", "petang", "rumah"]
    filler += ["besar", "baik", "cantik", "murah", "cepat"]
    bodies, truth = [], np.zeros((texts, 2), dtype=np.int8)
    for row in range(texts):
        words = [*rng.choice(filler, 9).tolist(), str(row)]
        for column, own in enumerate(signs.values()):
            if rng.random() < 0.35:
                truth[row, column] = 1
                words += list(rng.choice(own, 2))
        rng.shuffle(words)
        bodies.append(" ".join(words))
    errors = set(rng.choice(texts, wrong, replace=False).tolist())
    given = truth.copy()
    for row in errors:
        column = int(rng.integers(2))
        given[row, column] = 1 - given[row, column]
    ids = [text_id(body) for body in bodies]
    return Examples(ids, bodies, given, tuple(signs), [None] * texts, ["ms"] * texts), errors


def test_planted_errors_come_first() -> None:
    examples, errors = planted(600, 30, seed=5)
    found = find_errors(examples, seed=1, ngrams=_SMALL, workers=1)
    assert found.labels == examples.labels
    assert found.left_out == ()
    doubted = likely_wrong(found.errors.wrong, examples.truth)
    ranked = np.argsort(-found.errors.wrong.max(axis=1), kind="stable")[:30]
    assert len(errors & set(ranked.tolist())) >= 27
    # a model that learnt from the errors would not find them
    assert 20 <= len(np.flatnonzero(doubted.any(axis=1))) < 60


def test_vectors_and_their_neighbours_find_what_words_do_not() -> None:
    examples, errors = planted(400, 24, seed=8)
    right = examples.truth.copy()
    clean, _ = planted(400, 0, seed=8)
    vectors = np.column_stack([clean.truth * 2.0 - 1, np.random.default_rng(0).normal(size=(400, 3)) * 0.3])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    # words that say nothing
    rng = np.random.default_rng(1)
    mute = [" ".join(str(number) for number in rng.integers(1_000, 9_999, 9)) for _ in range(400)]
    silent = Examples([text_id(body) for body in mute], mute, right, examples.labels, [None] * 400, ["ms"] * 400)
    found = find_errors(silent, vectors=vectors, seed=1, ngrams=_SMALL, workers=1)
    ranked = np.argsort(-found.errors.wrong.max(axis=1), kind="stable")[:24]
    assert len(errors & set(ranked.tolist())) >= 20
    assert found.errors.near is not None


def test_an_answer_that_several_raters_gave_is_doubted_less() -> None:
    examples, _ = planted(400, 20, seed=9)
    once = find_errors(examples, seed=1, ngrams=_SMALL, workers=1).errors.wrong
    texts, raters = np.repeat(np.arange(400), 3), np.tile(np.arange(3), 400)
    votes = LabelVotes(texts, raters, examples.truth[texts], 3)
    thrice = find_errors(examples, votes, seed=1, ngrams=_SMALL, workers=1).errors.wrong
    assert thrice.mean() < once.mean()


def test_texts_that_nothing_was_learnt_from_are_judged_by_the_same_measure() -> None:
    examples, _ = planted(400, 0, seed=6)
    models = find_errors(examples, seed=1, ngrams=_SMALL, workers=1)
    texts = ["kami pergi kedai lucah cabul lucah", "kami pergi kedai murah petang"]
    given = np.zeros((2, 2), dtype=np.int8)
    asked = models.of_others(texts, given, LabelVotes.one_each(given), None)
    assert asked.by_model.shape == asked.wrong.shape == (2, 2)
    assert asked.by_model[0, 0] > 0.7 > 0.3 > asked.by_model[1, 0]
    assert asked.wrong[0, 0] > asked.wrong[1, 0]


def test_near_duplicates_are_in_one_fold_and_every_fold_has_its_share_of_a_rare_label() -> None:
    bodies = [
        f"berita panjang nombor {i} tentang pasar malam di kampung {chr(97 + i % 26) * 7} {i * 7919}" for i in range(60)
    ]
    bodies += [body.replace("berita", "BERITA") + "!!" for body in bodies[:20]]
    truth = np.zeros((80, 1), dtype=np.int8)
    truth[:10] = 1
    ids = [text_id(body) for body in bodies]
    examples = Examples(ids, bodies, truth, ("hate",), [None] * 80, ["ms"] * 80)
    groups = [i % 60 for i in range(80)]
    fold = deal_folds(examples, 5, seed=3, groups=groups)
    assert all(fold[i] == fold[i + 60] for i in range(20))
    assert deal_folds(examples, 5, seed=3)[:20].tolist() == deal_folds(examples, 5, seed=3)[60:].tolist()
    assert np.bincount(fold[:10], minlength=5).tolist() == [2, 2, 2, 2, 2]
    order = list(range(79, -1, -1))
    turned = deal_folds(examples.take(order), 5, seed=3, groups=[groups[i] for i in order])
    assert turned[::-1].tolist() == fold.tolist()
    assert deal_folds(examples, 5, seed=4, groups=groups).tolist() != fold.tolist()


def test_labels_that_cannot_be_learnt_are_named() -> None:
    examples, _ = planted(200, 0, seed=7)
    truth = np.column_stack([examples.truth, np.ones(200, dtype=np.int8)])
    more = Examples(
        examples.ids, examples.texts, truth, (*examples.labels, "hate"), examples.splits, examples.languages
    )
    models = find_errors(more, seed=1, ngrams=_SMALL, workers=1)
    assert models.left_out == ("hate",)
    assert models.errors.wrong.shape == (200, 2)
    empty = find_errors(more.take(range(5)), seed=1, ngrams=_SMALL, workers=1)
    assert empty.labels == ()
    given = np.zeros((1, 0), dtype=np.int8)
    assert empty.of_others(["apa khabar"], given, LabelVotes.one_each(given), None).wrong.shape == (1, 0)
