"""Figures of a system on the judged rows, each with the same bootstrap resamples of texts, so that differences pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from _quality_sets import OPENAI, OPENAI_LABELS, TEMPLATES, TEN, QualitySets

from pipeline.learning.sets.examples import Examples
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Scores
from pipeline.measure.intervals import Estimate, estimate_of, resampled
from pipeline.measure.metrics import Column, calibration_error

#: least number of each answer in a cell of one label and one source
LEAST_IN_CELL = 20
RESAMPLES = 200
_SEED = 0

K = TypeVar("K")
#: columns of `Column.statistics`
_AVERAGE_PRECISION, _PRECISION, _RECALL = 0, 1, 2
_MACRO_F1 = 4


@dataclass(frozen=True)
class Scored:
    """A system's answers on some rows."""

    #: [texts, labels]
    probabilities: Scores
    #: [texts, labels]: whether the label is given at its threshold
    given: Booleans


@dataclass(frozen=True)
class Figure:
    """A number with the values of all resamples, which are the same texts for every system."""

    value: float
    draws: Floats

    @property
    def estimate(self) -> Estimate:
        """The number with its 95% interval."""
        return estimate_of(self.value, self.draws)

    def gain(self, other: Figure) -> Estimate:
        """This number less another system's, with a paired interval."""
        return estimate_of(self.value - other.value, self.draws - other.draws)


@dataclass(frozen=True)
class Wanted:
    """A figure to compute: the mean of one statistic over cells of a label and some rows."""

    statistic: int
    #: a label's column, and the rows [texts] where it is looked at
    cells: Sequence[tuple[int, Booleans]]


def cells_of(rows: Examples, where: Booleans, sources: Sequence[str]) -> dict[tuple[str, str], Wanted]:
    """Average precision of each cell of a label and a source that has enough of both answers."""
    first = np.array([source.split(",")[0] for source in rows.sources])
    cells = {}
    for column, label in enumerate(rows.labels):
        for source in sources:
            cell = where & (first == source)
            answers = rows.truth[cell, column]
            if min((answers == 1).sum(), (answers == 0).sum()) >= LEAST_IN_CELL:
                cells[label, source] = Wanted(_AVERAGE_PRECISION, [(column, cell)])
    return cells


def within(cells: Mapping[tuple[str, str], Wanted], sources: Sequence[str]) -> Wanted:
    """The mean over the cells of some sources."""
    chosen = [cell for (_, source), wanted in cells.items() if source in sources for cell in wanted.cells]
    return Wanted(_AVERAGE_PRECISION, chosen)


def pooled(rows: Examples, where: Booleans, labels: Sequence[str] = TEN) -> Wanted:
    """The mean average precision of labels over rows of all sources together."""
    columns = [rows.labels.index(label) for label in labels]
    measurable = [i for i in columns if {0, 1} <= set(rows.truth[where, i].tolist())]
    return Wanted(_AVERAGE_PRECISION, [(i, where) for i in measurable])


def headline(sets: QualitySets) -> dict[str, Wanted]:
    """The figures that a system is held to."""
    rows = sets.judged
    column = {label: i for i, label in enumerate(rows.labels)}
    natural, everything = sets.sources("natural"), sets.sources("all")
    usual = sets.where("dev") | sets.where("openai")
    cells = cells_of(rows, usual, everything)
    languages = dict(zip(("en", "ms", "Singlish", "id"), TEMPLATES, strict=True))
    functions = {name: sets.where("functions", [source]) for name, source in languages.items() if name != "en"}

    def macro_f1(label: str, *where: Booleans) -> Wanted:
        return Wanted(_MACRO_F1, [(column[label], mask) for mask in where])

    return {
        "macro AP, ten labels, natural, pooled": pooled(rows, usual & sets.where(sources=natural)),
        "macro AP within sources, natural": within(cells, natural),
        "macro AP within sources, all": within(cells, everything),
        "hate macro-F1, held-out functions": macro_f1("hate", *functions.values()),
        **{f"hate macro-F1, held-out functions, {name}": macro_f1("hate", mask) for name, mask in functions.items()},
        "sexist macro-F1, EDOS": macro_f1("sexist", sets.where("dev", ["edos_en"])),
        "macro AP, five labels, OpenAI's set": pooled(rows, sets.where("openai", [OPENAI]), OPENAI_LABELS),
        "informative macro-F1, held-out crises": macro_f1("informative", sets.where("crises")),
    }


def by_language(rows: Examples, where: Booleans, sources: Sequence[str]) -> dict[str, Wanted]:
    """The mean average precision within sources, for each language."""
    languages = np.array(rows.languages)
    figures = {}
    for language in sorted(set(languages[where].tolist())):
        cells = cells_of(rows, where & (languages == language), sources)
        if cells:
            figures[str(language)] = within(cells, sources)
    return figures


def at_thresholds(rows: Examples, where: Booleans) -> dict[tuple[str, str], Wanted]:
    """Average precision, precision and recall of each label on some rows."""
    names = {"AP": _AVERAGE_PRECISION, "precision": _PRECISION, "recall": _RECALL, "macro-F1": _MACRO_F1}
    return {
        (label, name): Wanted(statistic, [(column, where)])
        for column, label in enumerate(rows.labels)
        for name, statistic in names.items()
        if {0, 1} <= set(rows.truth[where, column].tolist())
    }


def compute(rows: Examples, scored: Scored, wanted: Mapping[K, Wanted]) -> dict[K, Figure]:
    """All figures at once: every figure sees the same resampled texts."""
    statistics: dict[K, list[Callable[[Floats], Floats]]] = {
        key: [_statistic(rows, scored, column, where, figure.statistic) for column, where in figure.cells]
        for key, figure in wanted.items()
    }

    def values(weights: Floats) -> dict[K, Floats]:
        return {key: np.nanmean([of(weights) for of in cells], axis=0) for key, cells in statistics.items()}

    points = values(np.ones((1, len(rows))))
    drawn: dict[K, list[Floats]] = {key: [] for key in wanted}
    for weights in resampled(len(rows), np.random.default_rng(_SEED), RESAMPLES):
        for key, block in values(weights).items():
            drawn[key].append(block)
    return {key: Figure(float(points[key][0]), np.concatenate(drawn[key])) for key in wanted}


def _statistic(
    rows: Examples, scored: Scored, column: int, where: Booleans, statistic: int
) -> Callable[[Floats], Floats]:
    """One statistic of one cell, as a function of the weights of all texts [resamples, texts]."""
    answers = np.where(where, rows.truth[:, column], UNKNOWN)
    cell = Column.of(scored.probabilities[:, column], answers, scored.given[:, column])
    if statistic != _MACRO_F1:
        return lambda weights: cell.statistics(weights)[:, statistic]
    # F1 of the one answer and of the other
    opposite = np.where(answers == UNKNOWN, UNKNOWN, 1 - answers)
    other = Column.of(-scored.probabilities[:, column], opposite, ~scored.given[:, column])
    return lambda weights: (cell.statistics(weights)[:, 3] + other.statistics(weights)[:, 3]) / 2


def calibration_errors(rows: Examples, scored: Scored, where: Booleans) -> dict[str, float]:
    """The calibration error of each label on some rows."""
    errors = {}
    for column, label in enumerate(rows.labels):
        known = where & (rows.truth[:, column] != UNKNOWN)
        if known.any():
            errors[label] = calibration_error(scored.probabilities[known, column], rows.truth[known, column] == 1)
    return errors
