"""The answer that raters together support, each weighed by an estimate of their skill (Dawid & Skene 1979)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import UNKNOWN, Floats, LabelMatrix
from pipeline.measure.dawid_skene import Fitted, VoteMatrix, evidence, fit_dawid_skene
from sync.quality.answers import Answers

#: the model has a say on a label only with so many ticks of it, ...
LEAST_TICKS = 10
#: ... texts with two answers or more, ...
LEAST_TEXTS = 20
#: ... and raters who gave at least LEAST_ANSWERS of them
LEAST_RATERS = 3
LEAST_ANSWERS = 10
#: how sure the others' consensus must be before somebody is measured by it
_SURE = 0.8


@dataclass(frozen=True, slots=True)
class Consensus:
    """The reference for raters where no answer is known beforehand."""

    #: what the others say, for each answer: the answer's own rater has no voice in it
    others: LabelMatrix
    #: [raters, labels]: share of the texts with the label on which the rater ticks it; nan where unmeasured
    sensitivity: Floats
    #: [raters, labels]: share of the texts without it on which they don't
    specificity: Floats


def consensus(answers: Answers) -> Consensus:
    """Fit Dawid and Skene's model to each label on its own.

    A label that too few texts or raters speak of is left unknown. The skills that the model estimates are pulled a
    little towards one half (`SMOOTHING`: one tick and one blank more than were seen), so that a rater with a few
    answers is never taken to be infallible.
    """
    shape = (len(answers.raters), len(answers.labels))
    others = np.full(answers.said.shape, UNKNOWN, dtype=np.int8)
    sensitivity, specificity = np.full(shape, np.nan), np.full(shape, np.nan)
    for i in range(len(answers.labels)):
        rows = answers.said[:, i] != UNKNOWN
        usable = answers.where(rows)
        votes = _votes(usable, usable.said[:, i])
        if not _enough(votes):
            continue
        fitted = fit_dawid_skene(votes)
        sensitivity[:, i], specificity[:, i] = fitted.sensitivity, fitted.specificity
        others[rows, i] = _others_word(votes, fitted)[usable.text, usable.rater]
    return Consensus(others, sensitivity, specificity)


def _votes(answers: Answers, column: NDArray[np.int8]) -> VoteMatrix:
    """[texts, raters]: what each answer says of one label."""
    votes = np.full((answers.texts, len(answers.raters)), UNKNOWN, dtype=np.int8)
    votes[answers.text, answers.rater] = column
    return votes


def _enough(votes: VoteMatrix) -> bool:
    voted = votes != UNKNOWN
    paired = voted.sum(axis=1) >= 2
    busy = voted[paired].sum(axis=0) >= LEAST_ANSWERS
    return bool((votes == 1).sum() >= LEAST_TICKS and paired.sum() >= LEAST_TEXTS and busy.sum() >= LEAST_RATERS)


def _others_word(votes: VoteMatrix, fitted: Fitted) -> LabelMatrix:
    """[texts, raters]: what the other raters of the text together say: 1, 0, or unknown if they are not sure."""
    weights = [
        [evidence(*skill, asserted=asserted) for skill in zip(fitted.sensitivity, fitted.specificity, strict=True)]
        for asserted in (False, True)
    ]
    own = np.where(votes == UNKNOWN, 0, np.where(votes == 1, weights[1], weights[0]))
    prior = np.clip(np.nanmean(fitted.probability), 1e-6, 1 - 1e-6)
    odds = np.log(prior / (1 - prior)) + own.sum(axis=1, keepdims=True) - own
    sure = np.log(_SURE / (1 - _SURE))
    alone = (votes != UNKNOWN).sum(axis=1, keepdims=True) < 2
    word = np.where(odds >= sure, 1, np.where(odds <= -sure, 0, UNKNOWN))
    return np.where(alone, UNKNOWN, word).astype(np.int8)
