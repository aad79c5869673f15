"""What the answers together say is right, weighed by how good each rater seems to be (Dawid & Skene 1979)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, LabelMatrix
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
#: when the fit stops: tighter changes no figure in its third place and takes twice as long
_ITERATIONS, _TOLERANCE = 50, 1e-4


@dataclass(frozen=True, slots=True)
class Consensus:
    """What raters are measured by where nothing is known beforehand."""

    #: what the others say, for each answer: the answer's own rater has no voice in it
    others: LabelMatrix
    #: [raters, labels]: share of the texts with the label on which the rater ticks it; nan where unmeasured
    sensitivity: Floats
    #: [raters, labels]: share of the texts without it on which they don't
    specificity: Floats


def consensus(answers: Answers) -> Consensus:
    """Fit Dawid and Skene's model to each label on its own.

    A label that too few texts or raters speak of is left unknown. The skills that the model estimates are pulled a
    little towards one half (one tick and one blank more than were seen), so that a rater with a few answers is
    never taken to be infallible.
    """
    shape = (len(answers.raters), len(answers.labels))
    others = np.full(answers.said.shape, UNKNOWN, dtype=np.int8)
    sensitivity, specificity = np.full(shape, np.nan), np.full(shape, np.nan)
    for i in range(len(answers.labels)):
        rows = answers.said[:, i] != UNKNOWN
        usable = answers.where(rows)
        if not _enough(usable, usable.said[:, i] == 1):
            continue
        said = usable.said[:, i] == 1
        true = _posterior(usable, said)
        sensitivity[:, i], specificity[:, i] = _skills(usable, said, true)
        others[rows, i] = _others_word(usable, said, true, sensitivity[:, i], specificity[:, i])
    return Consensus(others, sensitivity, specificity)


def _enough(answers: Answers, said: Booleans) -> bool:
    paired = np.bincount(answers.text, minlength=answers.texts) >= 2
    busy = np.bincount(answers.rater[paired[answers.text]], minlength=len(answers.raters)) >= LEAST_ANSWERS
    return bool(said.sum() >= LEAST_TICKS and paired.sum() >= LEAST_TEXTS and busy.sum() >= LEAST_RATERS)


def _posterior(answers: Answers, said: Booleans) -> Floats:
    """[texts]: how likely the label is true of each; nan for texts without an answer."""
    # slow to import, and needed by this alone
    import pandas as pd  # type: ignore[import-untyped]
    from crowdkit.aggregation import DawidSkene

    table = pd.DataFrame({"task": answers.text, "worker": answers.rater, "label": said.astype(np.int64)})
    with warnings.catch_warnings():
        # crowd-kit 1.4 uses arguments that pandas 3 deprecates
        warnings.simplefilter("ignore")
        found = DawidSkene(n_iter=_ITERATIONS, tol=_TOLERANCE).fit_predict_proba(table)
    true = np.full(answers.texts, np.nan)
    true[found.index.to_numpy()] = found[1].to_numpy()
    return true


def _skills(answers: Answers, said: Booleans, true: Floats) -> tuple[Floats, Floats]:
    likely, size = true[answers.text], len(answers.raters)

    def share(hit: Booleans, weight: Floats) -> Floats:
        hits = np.bincount(answers.rater, weights=weight * hit, minlength=size)
        return np.asarray((hits + 1) / (np.bincount(answers.rater, weights=weight, minlength=size) + 2))

    seen = np.bincount(answers.rater, minlength=size) > 0
    return np.where(seen, share(said, likely), np.nan), np.where(seen, share(~said, 1 - likely), np.nan)


def _others_word(
    answers: Answers, said: Booleans, true: Floats, sensitivity: Floats, specificity: Floats
) -> LabelMatrix:
    """For each row, what the other raters of its text together say: 1, 0, or unknown if they are not sure."""
    yes, no = sensitivity[answers.rater], specificity[answers.rater]
    evidence = np.where(said, np.log(yes / (1 - no)), np.log((1 - yes) / no))
    prior = np.clip(np.nanmean(true), 1e-6, 1 - 1e-6)
    of_text = np.bincount(answers.text, weights=evidence, minlength=answers.texts)
    odds = np.log(prior / (1 - prior)) + of_text[answers.text] - evidence
    sure = np.log(_SURE / (1 - _SURE))
    alone = np.bincount(answers.text, minlength=answers.texts)[answers.text] < 2
    word = np.where(odds >= sure, 1, np.where(odds <= -sure, 0, UNKNOWN))
    return np.where(alone, UNKNOWN, word).astype(np.int8)
