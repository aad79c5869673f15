"""Replays of a labelled set: how good a model is after each batch of labels, by the rule that chose the texts.

A replay begins with some texts and their labels, trains, chooses the next batch by a rule, reveals its labels, and so
on. It is repeated with several seeds, which all rules share: the same texts to be judged on, the same first batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.errors import UsageError
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Ints, LabelMatrix
from pipeline.measure.metrics import average_precision
from pipeline.progress import Progress, silent
from pipeline.queue.queries import Known, Query, coverage
from pipeline.vectors.encoders.protocol import Vectors

#: texts whose predictions are compared from batch to batch, at most
_WATCHED = 2_000
#: agreement with the model before, on the average of so many batches, from which more labels no longer pay
STABLE, STABLE_BATCHES = 0.99, 3
#: share of the full figure that counts as enough
ENOUGH = 0.95


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """Settings of a replay.

    Raises:
        UsageError: a value is out of range.
    """

    #: labels that are there at the beginning, and labels of a batch
    start: int = 100
    batch: int = 100
    #: labels that are bought in all; None: all that there are
    budget: int | None = 2_000
    #: repetitions
    seeds: int = 5
    #: share of the texts that models are judged on, where the set names none
    judged: float = 0.25
    #: True: the first texts are spread over the space; False: they are drawn at random
    spread_start: bool = False

    def __post_init__(self) -> None:
        if min(self.start, self.batch, self.seeds) < 1 or (self.budget is not None and self.budget < self.start):
            raise UsageError("give at least 1 for start, batch and seeds, and a budget of at least the start")
        if not 0 < self.judged < 1:
            raise UsageError(f"the judged share is {self.judged}: give a share between 0 and 1")


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A labelled set to replay."""

    labels: tuple[str, ...]
    #: [texts, features]: rows that a linear model learns from
    features: Any
    #: [texts, labels]: 1 yes, 0 no, -1 unknown
    truth: LabelMatrix
    #: group of near-duplicates of each text: no group is both bought from and judged on
    groups: Ints
    #: [texts, dimension]; None: distances are taken between features
    vectors: Vectors | None = None
    #: True for each text to judge on; None: some are drawn for each seed
    judged: Booleans | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over the seeds, with two standard errors either way."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The results of a rule."""

    #: labels bought, batch by batch
    bought: Sequence[int]
    average_precision: Sequence[Interval]
    macro_f1: Sequence[Interval]
    #: agreement (Cohen's kappa) of each model's predictions with those of the one before; 0 for the first
    stability: Sequence[Interval]
    #: labels that bring the mean macro-F1 to 95% of that of a model with all labels, and stay there; None: never
    enough: int | None
    #: the same of the average precision
    enough_precision: int | None
    #: labels after which the rule for stopping says so, on the average of the seeds; None: never, in most of them
    stop: float | None
    #: macro-F1 at that moment, as a share of the full one
    stop_share: float | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The curves of all rules."""

    labels: tuple[str, ...]
    texts: int
    #: macro-F1 and average precision of models that learnt from all labels
    full_macro_f1: float
    full_average_precision: float
    curves: Mapping[str, Curve]
    notes: Sequence[str] = field(default_factory=tuple)


def replay(
    labelled: LabelledSet,
    queries: Mapping[str, Query],
    config: ReplayConfig | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Replayed:
    """Replay a set by several rules.

    Args:
        labelled: the set.
        queries: rules by name.
        config: the settings; None: the defaults.
        seed: of the first repetition; the others follow.
        progress: told of each batch.

    Raises:
        UsageError: there are too few texts.
    """
    how = config or ReplayConfig()
    traces: dict[str, list[_Trace]] = {name: [] for name in queries}
    full: list[tuple[float, float]] = []
    total, replayed = how.seeds * len(queries), 0
    for number in range(seed, seed + how.seeds):
        rng = np.random.default_rng(number)
        judged = labelled.judged if labelled.judged is not None else _judged(labelled.groups, how.judged, rng)
        pool, test = np.flatnonzero(~judged), np.flatnonzero(judged)
        if len(pool) <= how.start or not len(test):
            raise UsageError(f"{len(labelled.truth):,} texts are too few to replay with a start of {how.start:,}")
        learner = _Learner(labelled)
        full.append(_measure(learner.learn(pool, test), labelled.truth[test]))
        first = _first(labelled, pool, how, rng)
        for name, query in queries.items():
            progress(replayed, total, f"replaying {name}")
            traces[name].append(_trace(learner, query, pool, test, first, how, np.random.default_rng([number, 1])))
            replayed += 1
    progress(total, total, "replaying")
    precision, f1 = (float(np.mean([values[i] for values in full])) for i in (0, 1))
    curves = {name: _curve(own, precision, f1) for name, own in traces.items()}
    return Replayed(labelled.labels, len(labelled.truth), f1, precision, curves)


@dataclass(slots=True)
class _Trace:
    """One repetition of one rule."""

    bought: list[int] = field(default_factory=list)
    precision: list[float] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)
    stability: list[float] = field(default_factory=list)


class _Learner:
    """Logistic regressions over the features, one for each label."""

    def __init__(self, labelled: LabelledSet) -> None:
        self.set = labelled

    def learn(self, rows: Ints, asked: Ints) -> Floats:
        """[asked, labels]: probabilities by models that learnt from `rows`; nan: a label without a yes or a no."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        probabilities = np.full((len(asked), len(self.set.labels)), np.nan)
        features = self.set.features
        for column in range(len(self.set.labels)):
            known = rows[self.set.truth[rows, column] != UNKNOWN]
            answers = self.set.truth[known, column]
            if not (answers == 1).any() or not (answers == 0).any():
                continue
            model = LogisticRegression(max_iter=200, tol=1e-3, class_weight="balanced")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(features[known], answers)
            probabilities[:, column] = model.predict_proba(features[asked])[:, 1]
        return probabilities


def _trace(
    learner: _Learner, query: Query, pool: Ints, test: Ints, first: Ints, how: ReplayConfig, rng: np.random.Generator
) -> _Trace:
    trace, labelled = _Trace(), learner.set
    watched = rng.permutation(pool)[:_WATCHED]
    before: Booleans | None = None
    bought = first
    most = len(pool) if how.budget is None else min(how.budget, len(pool))
    space = labelled.features if labelled.vectors is None else labelled.vectors
    while True:
        free = np.setdiff1d(pool, bought)
        asked = np.concatenate([test, watched, free])
        probabilities = learner.learn(bought, asked)
        precision, f1 = _measure(probabilities[: len(test)], labelled.truth[test])
        now = np.nan_to_num(probabilities[len(test) : len(test) + len(watched)]) >= 0.5
        trace.bought.append(len(bought))
        trace.precision.append(precision)
        trace.f1.append(f1)
        trace.stability.append(_kappa(before, now) if before is not None else 0.0)
        before = now
        size = min(how.batch, most - len(bought), len(free))
        if size <= 0:
            return trace
        known = Known(
            labelled.labels,
            free,
            bought,
            labelled.truth[bought],
            probabilities[len(test) + len(watched) :],
            space,
            _relearn(learner, bought, free),
        )
        bought = np.concatenate([bought, free[query(known, size, rng)]])


def _relearn(learner: _Learner, bought: Ints, free: Ints) -> Callable[[Ints], Floats]:
    return lambda rows: learner.learn(bought[rows], free)


def _first(labelled: LabelledSet, pool: Ints, how: ReplayConfig, rng: np.random.Generator) -> Ints:
    if not how.spread_start:
        return np.asarray(rng.permutation(pool)[: how.start])
    space = labelled.features if labelled.vectors is None else labelled.vectors
    begun = rng.permutation(len(pool))[:1]
    rest = np.setdiff1d(np.arange(len(pool)), begun)
    nothing = np.full((len(rest), len(labelled.labels)), np.nan)
    known = Known(
        labelled.labels, pool[rest], pool[begun], labelled.truth[pool[begun]], nothing, space, lambda _: nothing
    )
    return np.concatenate([pool[begun], pool[rest][coverage(known, how.start - 1, rng)]])


def _judged(groups: Ints, share: float, rng: np.random.Generator) -> Booleans:
    names = np.unique(groups)
    drawn = rng.permutation(names)[: max(1, round(share * len(names)))]
    return np.isin(groups, drawn)


def _measure(probabilities: Floats, truth: LabelMatrix) -> tuple[float, float]:
    """Macro average precision, and macro-F1 at a half; of one label, the mean F1 of its yes and its no."""
    precisions, scores = [], []
    for p, column in zip(np.nan_to_num(probabilities).T, truth.T, strict=True):
        known = column != UNKNOWN
        yes = column[known] == 1
        if not yes.any() or yes.all():
            continue
        precisions.append(average_precision(p[known], yes))
        predicted = p[known] >= 0.5
        scores.append(_f1(predicted, yes))
        if truth.shape[1] == 1:
            scores.append(_f1(~predicted, ~yes))
    return (float(np.mean(precisions)), float(np.mean(scores))) if precisions else (0.0, 0.0)


def _f1(predicted: Booleans, yes: Booleans) -> float:
    return float(2 * (predicted & yes).sum() / max(1, predicted.sum() + yes.sum()))


def _kappa(before: Booleans, now: Booleans) -> float:
    """Cohen's kappa of two models' predictions (Bloodgood & Vijay-Shanker 2009, "A Method for Stopping Active Learning
    Based on Stabilizing Predictions")."""
    agreed = float((before == now).mean())
    chance = float(before.mean() * now.mean() + (1 - before.mean()) * (1 - now.mean()))
    return 1.0 if chance >= 1 else (agreed - chance) / (1 - chance)


def _curve(traces: Sequence[_Trace], full_precision: float, full: float) -> Curve:
    # where groups are of different sizes, one seed may have a batch more to buy
    batches = min(len(trace.bought) for trace in traces)
    bought = traces[0].bought[:batches]
    f1 = np.array([trace.f1[:batches] for trace in traces])
    stops = [_stop(trace, batches) for trace in traces]
    stopped = [at for at in stops if at is not None]
    precision = np.array([trace.precision[:batches] for trace in traces])
    met = len(stopped) * 2 > len(stops)
    return Curve(
        bought,
        _intervals(precision),
        _intervals(f1),
        _intervals(np.array([trace.stability[:batches] for trace in traces])),
        _enough(bought, f1, full),
        _enough(bought, precision, full_precision),
        float(np.mean([bought[at] for at in stopped])) if met else None,
        float(np.mean([f1[i, at] / full for i, at in enumerate(stops) if at is not None])) if met and full else None,
    )


def _enough(bought: Sequence[int], values: Floats, full: float) -> int | None:
    """Labels from which the mean of the seeds, [seeds, batches], stays at a share of the full figure."""
    reached = values.mean(axis=0) >= ENOUGH * full
    lasting = np.flatnonzero(np.flip(np.logical_and.accumulate(np.flip(reached))))
    return bought[int(lasting[0])] if len(lasting) else None


def _stop(trace: _Trace, most: int) -> int | None:
    """Position at which predictions have been stable for some batches."""
    for at in range(STABLE_BATCHES, min(most, len(trace.stability))):
        if np.mean(trace.stability[at - STABLE_BATCHES + 1 : at + 1]) >= STABLE:
            return at
    return None


def _intervals(values: Floats) -> list[Interval]:
    """Of each column; [seeds, batches]."""
    means = values.mean(axis=0)
    errors = values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.zeros(values.shape[1])
    return [
        Interval(float(mean), float(mean - 2 * error), float(mean + 2 * error))
        for mean, error in zip(means, errors, strict=True)
    ]
