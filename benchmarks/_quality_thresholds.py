"""One threshold for each label, or one for each label and language: which gives the better F1 on texts not seen.

The default linear model learns from the training rows. Calibration and thresholds are fitted on four fifths of the dev
rows and used on the fifth, for each fifth. A language has a threshold of its own where it has enough of both answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from _quality_figures import Scored, at_thresholds, compute
from _quality_sets import QualitySets

from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Ints, Scores
from pipeline.models.calibration import fit_sigmoid
from pipeline.models.linear import LinearConfig, fit_linear
from pipeline.models.thresholds import choose_threshold

#: least number of each answer that a threshold of a language is chosen from
LEAST = (10, 30, 100)
_FOLDS = 5
_SEED = 0


def thresholds_by_language(sets: QualitySets, emit: Callable[[Mapping[str, object]], None]) -> None:
    """Print F1 with one threshold for each label, and what thresholds of languages add, with paired intervals."""
    rows = sets.dev
    model = fit_linear(
        sets.train.texts, sets.train.truth, sets.train.labels, LinearConfig(), sources=sets.train.sources
    )
    decisions = model.decisions(rows.texts)
    folds = np.random.default_rng(_SEED).integers(0, _FOLDS, len(rows))
    languages = np.array([str(language) for language in rows.languages])
    wanted = at_thresholds(rows, np.ones(len(rows), dtype=np.bool_))
    alone = compute(rows, Scored(decisions, _given(decisions, rows.truth, folds, None, 0)), wanted)
    for least in LEAST:
        given = _given(decisions, rows.truth, folds, languages, least)
        several = compute(rows, Scored(decisions, given), wanted)
        for label, of in wanted:
            if of == "macro-F1":
                figure, gain = alone[label, of].estimate, several[label, of].gain(alone[label, of])
                emit(
                    {
                        "label": label,
                        "least": least,
                        "macro-F1, one threshold": round(figure.value, 4),
                        "gain by language": [round(number, 4) for number in (gain.value, gain.low, gain.high)],
                    }
                )


def _given(decisions: Scores, truth: Ints, folds: Ints, languages: np.ndarray | None, least: int) -> Booleans:
    """The labels given to each row, by thresholds that the other folds chose: [texts, labels]."""
    given = np.zeros(decisions.shape, dtype=np.bool_)
    for column in range(decisions.shape[1]):
        known = truth[:, column] != UNKNOWN
        for fold in range(_FOLDS):
            fitting, asked = known & (folds != fold), folds == fold
            answers = truth[fitting, column] == 1
            if answers.all() or not answers.any():
                continue
            sigmoid = fit_sigmoid(decisions[fitting, column], answers)
            on_fitting, on_asked = sigmoid(decisions[fitting, column]), sigmoid(decisions[asked, column])
            cuts = np.full(len(on_asked), choose_threshold(on_fitting, answers).value)
            if languages is not None:
                _cut_by_language(cuts, languages[asked], languages[fitting], on_fitting, answers, least)
            given[asked, column] = on_asked >= cuts
    return given


def _cut_by_language(
    cuts: Floats, asked: np.ndarray, fitting: np.ndarray, probabilities: Floats, answers: Booleans, least: int
) -> None:
    """Replace the cuts of languages that have enough of both answers."""
    for language in np.unique(fitting):
        own = fitting == language
        if min(answers[own].sum(), (~answers[own]).sum()) >= least:
            cuts[asked == language] = choose_threshold(probabilities[own], answers[own]).value
