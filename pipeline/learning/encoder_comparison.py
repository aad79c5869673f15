"""Separation of labels that people gave by the vectors of encoders: simple probes, out of fold.

Vectors serve filters, the bootstrap rater, neighbours and classifiers. What all of them need is that texts with a label
lie apart from texts without it, so two probes ask for that (Alain & Bengio 2016, "Understanding intermediate layers
using linear classifier probes"): the nearer of two centroids, and a logistic regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from pipeline.learning.neighbour_votes import centred
from pipeline.learning.sets.examples import Examples
from pipeline.learning.sets.folds import deal_folds
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Ints
from pipeline.measure.intervals import RESAMPLES, Estimate, estimate_of, resampled
from pipeline.measure.metrics import Ranking
from pipeline.vectors.encoders.protocol import Vectors, unit

Probe = Literal["centroid", "logistic"]
PROBES: tuple[Probe, ...] = get_args(Probe)
FOLDS = 5
#: texts with a label, and without it, that are needed to compare on it
LEAST = 20
#: inverse strength of the regression's penalty, as in the audit of labels
_STRENGTH = 27.0


@dataclass(frozen=True, slots=True)
class Separation:
    """Separation of the labels by one encoder's vectors."""

    encoder: str
    dimension: int
    #: texts encoded in a second, here and now
    texts_per_second: float
    #: average precision by probe and label
    labels: Mapping[Probe, Mapping[str, Estimate]]
    #: its mean over the labels, by probe
    macro: Mapping[Probe, Estimate]
    #: that mean less the first encoder's on the same texts; None: it is the first
    above_first: Mapping[Probe, Estimate] | None


def comparable(examples: Examples, fold: Ints) -> list[str]:
    """The labels with texts enough on both sides, and some of both outside of each fold."""
    measured = []
    for label, column in zip(examples.labels, examples.truth.T, strict=True):
        yes, no = column == 1, column == 0
        apart = all((side & (fold != number)).any() for side in (yes, no) for number in range(FOLDS))
        if min(yes.sum(), no.sum()) >= LEAST and apart:
            measured.append(label)
    return measured


def folds_of(examples: Examples, *, seed: int) -> Ints:
    """The fold of each text; near-duplicates are in one fold."""
    return deal_folds(examples, FOLDS, seed=seed)


def separations(
    examples: Examples,
    fold: Ints,
    encoded: Mapping[str, tuple[Vectors, float]],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Separation]:
    """Compare encoders on the same texts, folds and resamples.

    Args:
        examples: texts with their labels; unknown ones are left out of a label's figures.
        fold: of each text.
        encoded: by encoder, unit vectors [texts, dimension] and the texts encoded in a second; the first is what the
            others are compared with.
        rng: draws the resamples.
        resamples: how many.
    """
    labels = comparable(examples, fold)
    weights = np.concatenate(
        [np.ones((1, len(examples))), *resampled(len(examples), rng, resamples)]
    )  # the first row counts each text once
    measured: list[Separation] = []
    first: Mapping[Probe, Floats] | None = None
    for name, (vectors, speed) in encoded.items():
        by_probe = {
            probe: {label: _average_precision(examples, label, vectors, fold, probe, weights) for label in labels}
            for probe in PROBES
        }
        means = {
            probe: np.mean([*values.values()], axis=0) if values else np.full(len(weights), np.nan)
            for probe, values in by_probe.items()
        }
        measured.append(
            Separation(
                name,
                int(vectors.shape[1]),
                speed,
                {probe: {label: _estimate(draws) for label, draws in own.items()} for probe, own in by_probe.items()},
                {probe: _estimate(draws) for probe, draws in means.items()},
                None if first is None else {probe: _estimate(means[probe] - first[probe]) for probe in PROBES},
            )
        )
        first = first or means
    return measured


def _estimate(draws: Floats) -> Estimate:
    return estimate_of(float(draws[0]), draws[1:])


def _average_precision(
    examples: Examples, label: str, vectors: Vectors, fold: Ints, probe: Probe, weights: Floats
) -> Floats:
    """[1 + resamples]."""
    column = examples.truth[:, examples.labels.index(label)]
    known = np.flatnonzero(column != UNKNOWN)
    yes = column[known] == 1
    scores = probe_scores(vectors[known], yes, fold[known], probe)
    return Ranking.of(scores, yes).average_precision(weights[:, known])


def probe_scores(vectors: Vectors, yes: Booleans, fold: Ints, probe: Probe) -> Floats:
    """The score of each text by a probe that learnt from the texts of the other folds."""
    scores = np.zeros(len(yes))
    for number in range(FOLDS):
        learnt, asked = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(asked):
            mean = vectors[learnt].mean(axis=0, keepdims=True)
            known, new = centred(vectors[learnt], mean), centred(vectors[asked], mean)
            ask = _centroid if probe == "centroid" else _logistic
            scores[asked] = ask(known, yes[learnt], new)
    return scores


def _centroid(known: Vectors, yes: Booleans, new: Vectors) -> Floats:
    with_it, without = (unit(known[rows].mean(axis=0, keepdims=True)) for rows in (yes, ~yes))
    return np.asarray((new @ (with_it - without).T)[:, 0], dtype=np.float64)


def _logistic(known: Vectors, yes: Booleans, new: Vectors) -> Floats:
    # scikit-learn takes a second to load, and most of what imports this module never gets here.
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_STRENGTH, solver="liblinear", tol=1e-2, random_state=0).fit(known, yes)
    return np.asarray(model.decision_function(new), dtype=np.float64)
