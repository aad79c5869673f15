"""The probability that each given label is wrong, by models that did not learn from the text, and by its neighbours.

1. Out of fold, a logistic regression over n-grams, one over vectors, and the labels of the nearest texts score each
   text; a regression over these three makes one score of them (stacking: Wolpert 1992).
2. What raters answered, and that score, tell the errors of each rater, and which answers are doubtful
   (`pipeline.measure.noisy_votes`).
3. Another model, over n-grams and vectors together, learns from all answers, doubtful ones counting less, again out of
   fold. Both scores together give the final probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.learning.neighbour_votes import Near, centred, neighbour_votes
from pipeline.learning.sets.examples import Examples
from pipeline.learning.sets.folds import deal_folds
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Ints, LabelMatrix
from pipeline.measure.noisy_votes import Believed, Votes, believe
from pipeline.models.features import NgramConfig, Ngrams
from pipeline.models.folding import NEWEST, VERSIONS
from pipeline.progress import Progress, silent
from pipeline.texts.near_duplicates import near_duplicate_groups
from pipeline.vectors.encoders.protocol import Vectors

if TYPE_CHECKING:
    import scipy.sparse as sp

#: number of folds
FOLDS = 5
#: texts with a yes, and with a no, that a label needs
LEAST = 10
#: share of texts with a vector below which vectors are not used
_WITH_VECTORS = 0.5
#: inverse strength of the penalty: of the first model, of the one over vectors, and of the second
_FIRST, _OF_VECTORS, _SECOND = 1.0, 27.0, 1.0
#: weight of the second score beside the first
_SHARE = 0.5
#: least weight of a doubtful answer
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True)
class LabelVotes:
    """The answers that decided the labels, one row for each rater and text."""

    #: [rows]: number of the text
    texts: Ints
    #: [rows]: number of the rater
    raters: Ints
    #: [rows, labels]: 1 yes, 0 no, -1 nothing that counts
    answers: LabelMatrix
    #: how many raters there are
    count: int

    @classmethod
    def one_each(cls, given: LabelMatrix) -> LabelVotes:
        """The votes where one rater gave all labels."""
        rows = np.arange(len(given))
        return cls(rows, np.zeros(len(given), np.int64), given, 1)

    def take(self, texts: Ints, among: int, labels: Sequence[int] | None = None) -> LabelVotes:
        """The votes on some of `among` texts, which are numbered anew, and on some labels."""
        place = np.full(among, -1, np.int64)
        place[texts] = np.arange(len(texts))
        rows = np.flatnonzero(place[self.texts] >= 0)
        answers = self.answers[rows] if labels is None else self.answers[rows][:, list(labels)]
        return LabelVotes(place[self.texts[rows]], self.raters[rows], answers, self.count)

    def of(self, column: int, place: Ints) -> Votes:
        """The votes on one label, `place` being the new number of each text, -1 for one that is left out."""
        rows = place[self.texts]
        voted = (self.answers[:, column] != UNKNOWN) & (rows >= 0)
        return Votes(rows[voted], self.raters[voted], self.answers[voted, column] == 1)


@dataclass(frozen=True, slots=True)
class Errors:
    """Probabilities about the labels of some texts; columns as in `LabelErrors.labels`."""

    #: [texts, labels]: the probability that the given label is wrong; nan: none was given
    wrong: Floats
    #: [texts, labels]: the probability of the label by the models alone
    by_model: Floats
    #: None: there are too few vectors
    near: Near | None


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """The errors of the texts that were learnt from, and the models, which can be asked about others."""

    labels: tuple[str, ...]
    #: labels with too few texts
    left_out: tuple[str, ...]
    errors: Errors
    #: [raters, labels]: the probability of a yes to a text without the label, and of a no to a text with it
    false_yes: Floats
    false_no: Floats
    _others: _Others | None = None

    def of_others(self, texts: Sequence[str], given: LabelMatrix, votes: LabelVotes, vectors: Vectors | None) -> Errors:
        """The errors of texts that no model learnt from.

        Args:
            texts: the texts.
            given: [texts, labels] of `self.labels`.
            votes: the votes on these texts; their columns are `self.labels` too.
            vectors: [texts, dimension]; None: they have none.
        """
        if self._others is None:
            nothing = np.zeros((len(texts), 0))
            return Errors(nothing, nothing, None)
        return self._others.ask(texts, given, votes, vectors)


def find_errors(
    examples: Examples,
    votes: LabelVotes | None = None,
    *,
    vectors: Vectors | None = None,
    folds: int = FOLDS,
    seed: int = 0,
    ngrams: NgramConfig | None = None,
    workers: int = 2,
    progress: Progress = silent,
) -> LabelErrors:
    """Find how probable it is that each label is wrong.

    Args:
        examples: distinct texts with their labels, unknown ones included.
        votes: the answers that decided the labels; None: one rater gave them all.
        vectors: [texts, dimension]: unit vectors, zero for a text without one; None: there are none.
        folds: number of folds.
        seed: of the folds.
        ngrams: of the classifiers; None: the defaults.
        workers: processes that hash the texts.
        progress: told of each label.
    """
    progress(0, None, "looking for near-duplicates")
    groups = np.array(near_duplicate_groups(examples.texts), dtype=np.int64)
    fold = deal_folds(examples, folds, seed=seed, groups=groups.tolist())
    columns = [i for i in range(len(examples.labels)) if _can_be_learnt(examples.truth[:, i], fold, folds)]
    labels = tuple(examples.labels[i] for i in columns)
    left_out = tuple(label for label in examples.labels if label not in labels)
    cast = LabelVotes.one_each(examples.truth) if votes is None else votes
    if not columns:
        nothing, nobody = np.zeros((len(examples), 0)), np.zeros((cast.count, 0))
        return LabelErrors((), left_out, Errors(nothing, nothing, None), nobody, nobody)
    features = Ngrams(ngrams or NgramConfig())
    hashed = features.fit(_folded(examples.texts), workers)
    mean, dense, near = None, None, None
    if vectors is not None and vectors.any(axis=1).mean() >= _WITH_VECTORS:
        progress(0, None, "looking for neighbours")
        mean = vectors[vectors.any(axis=1)].mean(axis=0, keepdims=True)
        dense = centred(vectors, mean)
        near = neighbour_votes(dense, dense, examples.truth[:, columns], groups, itself=True)
    both = _beside(hashed, dense)
    shape = (len(examples), len(columns))
    wrong, by_model = np.full(shape, np.nan), np.full(shape, np.nan)
    rates = np.full((2, cast.count, len(columns)), np.nan)
    models, beliefs = [], []
    for at, column in enumerate(columns):
        progress(at, len(columns), "training without a part of the texts")
        given = examples.truth[:, column]
        known = np.flatnonzero(given != UNKNOWN)
        place = np.full(len(examples), -1, np.int64)
        place[known] = np.arange(len(known))
        answered = cast.of(column, place)
        yes, part = given[known] == 1, fold[known]
        share = near.share[known, at] if near is not None else None
        opinions = _opinions(hashed[known], dense[known] if dense is not None else None, share, yes, part, folds)
        first = _stacked(opinions, yes, part, folds)
        doubt = _wrong(believe(first, answered, raters=cast.count).probability, yes)
        weights = np.maximum(_LEAST_WEIGHT, (1 - doubt) ** 2)
        second, model = _out_of_fold(both[known], yes, part, folds, _SECOND, weights)
        belief = believe(first + _SHARE * _standard(second), answered, raters=cast.count)
        wrong[known, at] = _wrong(belief.probability, yes)
        by_model[known, at] = belief.by_score
        rates[:, :, at] = belief.false_yes, belief.false_no
        models.append(model)
        beliefs.append(believe(second, answered, raters=cast.count))
    progress(len(columns), len(columns), "training without a part of the texts")
    learnt = _Others(features, models, beliefs, mean, dense, examples.truth[:, columns])
    return LabelErrors(labels, left_out, Errors(wrong, by_model, near), rates[0], rates[1], learnt)


def likely_wrong(wrong: Floats, given: LabelMatrix) -> Booleans:
    """[texts, labels]: of each label as many answers as are estimated to be wrong, those that most probably are."""
    chosen = np.zeros(wrong.shape, dtype=np.bool_)
    for column in range(wrong.shape[1]):
        rows = np.flatnonzero((given[:, column] != UNKNOWN) & np.isfinite(wrong[:, column]))
        number = round(float(wrong[rows, column].sum()))
        chosen[rows[np.argsort(-wrong[rows, column], kind="stable")[:number]], column] = True
    return chosen


@dataclass(frozen=True, slots=True)
class _Others:
    """The second models of one fold, for texts that no model learnt from."""

    features: Ngrams
    models: Sequence[_Model]
    beliefs: Sequence[Believed]
    mean: Vectors | None
    learnt: Vectors | None
    given: LabelMatrix

    def ask(self, texts: Sequence[str], given: LabelMatrix, votes: LabelVotes, vectors: Vectors | None) -> Errors:
        dense, near = None, None
        if self.mean is not None and self.learnt is not None:
            some = np.zeros((len(texts), self.mean.shape[1]), np.float32) if vectors is None else vectors
            dense = centred(some, self.mean)
            near = neighbour_votes(dense, self.learnt, self.given)
        rows = _beside(self.features.transform(_folded(texts)), dense)
        wrong, by_model = np.full(given.shape, np.nan), np.full(given.shape, np.nan)
        place = np.arange(len(texts))
        for at, (model, belief) in enumerate(zip(self.models, self.beliefs, strict=True)):
            scores = model.scores(rows)
            known = given[:, at] != UNKNOWN
            believed = belief.of_others(scores, votes.of(at, place))
            wrong[known, at] = _wrong(believed, given[:, at] == 1)[known]
            nobody = Votes(place[:0], place[:0], np.zeros(0, np.bool_))
            by_model[:, at] = belief.of_others(scores, nobody)
        return Errors(wrong, by_model, near)


@dataclass(frozen=True, slots=True)
class _Model:
    weights: NDArray[np.float32]
    intercept: float

    def scores(self, rows: Any) -> Floats:
        return np.asarray(rows @ self.weights, dtype=np.float64) + self.intercept


def _opinions(
    hashed: sp.csr_matrix, dense: Vectors | None, share: Floats | None, yes: Booleans, part: Ints, folds: int
) -> list[Floats]:
    """Scores by n-grams, and by vectors and by neighbours where there are any."""
    opinions = [_out_of_fold(hashed, yes, part, folds, _FIRST)[0]]
    if dense is not None and share is not None:
        opinions += [_out_of_fold(dense, yes, part, folds, _OF_VECTORS)[0], share]
    return opinions


def _stacked(opinions: Sequence[Floats], yes: Booleans, part: Ints, folds: int) -> Floats:
    """One score of several, by regressions that learnt from the other folds."""
    standard = np.column_stack([_standard(scores) for scores in opinions])
    return standard[:, 0] if len(opinions) == 1 else _standard(_out_of_fold(standard, yes, part, folds, 1.0)[0])


def _out_of_fold(
    rows: Any, yes: Booleans, part: Ints, folds: int, strength: float, weights: Floats | None = None
) -> tuple[Floats, _Model]:
    """Scores by regressions that learnt from the other folds; and the one that did not learn from the first fold."""
    from sklearn.linear_model import LogisticRegression

    scores, model = np.zeros(len(yes)), None
    sparse = not isinstance(rows, np.ndarray)
    for number in range(folds):
        learnt, asked = np.flatnonzero(part != number), np.flatnonzero(part == number)
        # The solver visits rows in random order: a fixed seed makes it repeatable.
        regression = LogisticRegression(
            C=strength, solver="liblinear", dual=sparse, tol=1e-2, max_iter=2_000, random_state=0
        )
        regression.fit(rows[learnt], yes[learnt], None if weights is None else weights[learnt])
        fitted = _Model(regression.coef_[0].astype(np.float32), float(regression.intercept_[0]))
        model = model or fitted
        if len(asked):
            scores[asked] = fitted.scores(rows[asked])
    assert model is not None, "there is at least one fold"
    return scores, model


def _can_be_learnt(column: NDArray[np.int8], fold: Ints, folds: int) -> bool:
    """True where every model has texts with the label and without it, and there are enough of both."""
    yes, no = column == 1, column == 0
    return bool(
        min(yes.sum(), no.sum()) >= LEAST
        and all((value & (fold != number)).any() for value in (yes, no) for number in range(folds))
    )


def _beside(hashed: sp.csr_matrix, dense: Vectors | None) -> sp.csr_matrix:
    import scipy.sparse as sp

    return hashed if dense is None else sp.hstack([hashed, sp.csr_matrix(dense)], format="csr")


def _wrong(probability: Floats, yes: Booleans) -> Floats:
    return np.asarray(np.where(yes, 1 - probability, probability))


def _standard(scores: Floats) -> Floats:
    return np.asarray((scores - scores.mean()) / (float(scores.std()) or 1.0))


def _folded(texts: Sequence[str]) -> list[str]:
    fold = VERSIONS[NEWEST]
    return [fold(text) for text in texts]
