"""Ways to doubt the labels that a rater gave: the stages of the pipeline, and simple peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _stages_data import StageSet
from sklearn.linear_model import LogisticRegression

from pipeline.filters.cuts import Cut, choose_cut
from pipeline.filters.prototypes import SAMPLE, make_prototypes
from pipeline.filters.sentiment import CUT, SENTIMENTS, rules_of
from pipeline.learning.label_errors import LabelVotes, find_errors, likely_wrong
from pipeline.learning.neighbour_votes import centred, neighbour_votes
from pipeline.learning.sets.examples import Examples
from pipeline.learning.sets.folds import deal_folds
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Ints, LabelMatrix
from pipeline.measure.dawid_skene import fit_dawid_skene
from pipeline.models.artefact import TrainedModel
from pipeline.taxonomy import load_taxonomy
from pipeline.vectors.encoders.protocol import Vectors

#: inverse strength of the penalty of the regression over vectors, as in the audit
_OF_VECTORS = 27.0
FOLDS = 5


@dataclass(frozen=True)
class Doubts:
    """Doubts of a way about the labels given."""

    #: [texts, labels]: higher is more doubtful; nan: nothing is said
    doubt: Floats
    #: [texts, labels]: what the way removes by its own cut
    removed: Booleans


@dataclass(frozen=True)
class Asked:
    """Input of the ways: one rater's answers, those of others, and nothing of the truth."""

    data: StageSet
    #: [texts, labels], of each rater; the first one's are doubted
    answers: Sequence[LabelMatrix]
    #: [texts, 3]: probability of each sentiment
    sentiment: Floats
    #: [texts, n-grams], sparse
    ngrams: Any
    fold: Ints
    seed: int

    @property
    def given(self) -> LabelMatrix:
        """The answers that are doubted."""
        return self.answers[0]


def ask(asked: Asked) -> Iterator[tuple[str, Doubts]]:
    """Each way with its doubts."""
    prototypes = _prototypes(asked)
    yield "similarity to centres", _scored(asked, lambda column: _nearest(asked, prototypes[column][0]))
    yield "sentiment rule", _sentiment(asked)
    yield "consensus: majority of 3", _majority(asked)
    yield "consensus: Dawid and Skene, 3", _dawid_skene(asked)
    yield "audit", _audit(asked, LabelVotes.one_each(asked.given))
    yield "audit of 3 raters", _audit(asked, _votes(asked))
    yield (
        "margin to other labels",
        _scored(asked, lambda column: _nearest(asked, prototypes[column][0]) - _others(asked, prototypes, column)),
    )
    yield (
        "margin to texts without it",
        _scored(asked, lambda column: _nearest(asked, prototypes[column][0]) - _nearest(asked, prototypes[column][1])),
    )
    dense = centred(asked.data.vectors, asked.data.vectors.mean(axis=0, keepdims=True))
    near = neighbour_votes(dense, dense, asked.given, itself=True)
    yield "neighbours", _scored(asked, lambda column: near.share[:, column])
    yield "out of fold, vectors", _scored(asked, lambda column: _out_of_fold(asked, dense, column, _OF_VECTORS))
    yield "out of fold, n-grams", _scored(asked, lambda column: _out_of_fold(asked, asked.ngrams, column, 1.0))
    yield "random", _scored(asked, lambda _: np.random.default_rng(asked.seed).random(len(asked.given)))


def _scored(asked: Asked, score: Callable[[int], Floats]) -> Doubts:
    """Doubts from a score by label, high for those that fit, with the cut that the centroid filter would choose."""
    doubt, removed = _nothing(asked)
    for column in range(asked.given.shape[1]):
        rows = np.flatnonzero(asked.given[:, column] == 1)
        own = score(column)[rows]
        doubt[rows, column] = -own
        removed[rows, column] = own < choose_cut(own, Cut()).value
    return Doubts(doubt, removed)


def _nothing(asked: Asked) -> tuple[Floats, Booleans]:
    return np.full(asked.given.shape, np.nan), np.zeros(asked.given.shape, dtype=np.bool_)


def _prototypes(asked: Asked) -> list[tuple[Vectors, Vectors]]:
    """For each label, the filter's prototypes of texts with it and of texts without it."""
    pairs = []
    for column in range(asked.given.shape[1]):
        sides = []
        for value in (1, 0):
            own = asked.data.vectors[np.flatnonzero(asked.given[:, column] == value)[:SAMPLE]]
            sides.append(make_prototypes(own, rng=np.random.default_rng(asked.seed)).centroids)
        pairs.append((sides[0], sides[1]))
    return pairs


def _nearest(asked: Asked, centroids: Vectors) -> Floats:
    return np.asarray((asked.data.vectors @ centroids.T).max(axis=1), dtype=np.float64)


def _others(asked: Asked, prototypes: Sequence[tuple[Vectors, Vectors]], column: int) -> Floats:
    """Similarity to the nearest prototype of another label; without one, to that of texts without the label."""
    others = [own for i, (own, _) in enumerate(prototypes) if i != column] or [prototypes[column][1]]
    return np.max([_nearest(asked, own) for own in others], axis=0)


def _sentiment(asked: Asked) -> Doubts:
    rules = rules_of(load_taxonomy())
    doubt, removed = _nothing(asked)
    for column, label in enumerate(asked.data.labelled.labels):
        if label in rules:
            allowed = asked.sentiment[:, [SENTIMENTS.index(name) for name in rules[label]]].sum(axis=1)
            rows = np.flatnonzero(asked.given[:, column] == 1)
            doubt[rows, column] = -allowed[rows]
            removed[rows, column] = allowed[rows] < CUT
    return Doubts(doubt, removed)


def sentiment_of(model: TrainedModel, texts: Sequence[str]) -> Floats:
    """[texts, 3]: the probabilities in the order of `SENTIMENTS`."""
    columns = [model.labels.index(name) for name in SENTIMENTS]
    return np.asarray(model.probabilities(list(texts))[:, columns], dtype=np.float64)


def _majority(asked: Asked) -> Doubts:
    share = np.mean([answers == 1 for answers in asked.answers], axis=0)
    return Doubts(np.where(asked.given == 1, 1 - share, np.nan), (asked.given == 1) & (share < 0.5))


def _dawid_skene(asked: Asked) -> Doubts:
    doubt, removed = _nothing(asked)
    for column in range(asked.given.shape[1]):
        votes = np.column_stack([answers[:, column] for answers in asked.answers])
        likely = fit_dawid_skene(votes).probability
        rows = np.flatnonzero(asked.given[:, column] == 1)
        doubt[rows, column], removed[rows, column] = 1 - likely[rows], likely[rows] < 0.5
    return Doubts(doubt, removed)


def _votes(asked: Asked) -> LabelVotes:
    count, size = len(asked.answers), len(asked.given)
    return LabelVotes(
        np.tile(np.arange(size), count), np.repeat(np.arange(count), size), np.concatenate(asked.answers), count
    )


def _audit(asked: Asked, votes: LabelVotes) -> Doubts:
    own = asked.data.labelled
    spoilt = Examples(own.ids, own.texts, asked.given, own.labels, own.splits, own.languages)
    audited = find_errors(spoilt, votes, vectors=asked.data.vectors, seed=asked.seed, workers=1)
    columns = [own.labels.index(label) for label in audited.labels]
    doubt, removed = _nothing(asked)
    yes = asked.given[:, columns] == 1
    doubt[:, columns] = np.where(yes, audited.errors.wrong, np.nan)
    removed[:, columns] = likely_wrong(audited.errors.wrong, asked.given[:, columns]) & yes
    return Doubts(doubt, removed)


def _out_of_fold(asked: Asked, rows: Any, column: int, strength: float) -> Floats:
    """Log-odds of the label by regressions that did not learn from the text."""
    answers, scores = asked.given[:, column], np.zeros(len(asked.given))
    for number in range(FOLDS):
        learnt = np.flatnonzero((asked.fold != number) & (answers != UNKNOWN))
        other = np.flatnonzero(asked.fold == number)
        model = LogisticRegression(C=strength, solver="liblinear", tol=1e-2, random_state=0)
        scores[other] = model.fit(rows[learnt], answers[learnt]).decision_function(rows[other])
    return scores


def folds_of(data: StageSet) -> Ints:
    """Folds of the labelled texts."""
    return deal_folds(data.labelled, FOLDS, seed=0, groups=list(range(len(data.labelled))))
