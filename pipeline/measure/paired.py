"""Paired comparison: a challenger beside the champion on the same texts, with intervals of the difference.

Both models are measured under the same bootstrap weights (paired bootstrap: Efron & Tibshirani 1993, chapter 13; for
comparing classifiers on one test set, Berg-Kirkpatrick et al. 2012). A text that is hard is hard for both, so the
difference is far less uncertain than either number.

Recall is compared at the same precision: the one that the champion's threshold has on these texts. Each model is
given the highest recall that it reaches at that precision or a better one. For the champion that may be a little more
than the recall at its threshold; so a model never looks better than itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, LabelMatrix, Scores
from pipeline.measure.intervals import RESAMPLES, Estimate, estimate_of, resampled
from pipeline.measure.metrics import LEAST_SLICE, Ranking, area, measurable, rounded

#: largest distance of two precisions that count as the same, since sums of weights are rounded
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class LabelComparison:
    """One label, on the texts where it is known."""

    positives: int
    negatives: int
    champion_average_precision: Estimate
    challenger_average_precision: Estimate
    #: precision of the champion's threshold; nan if the champion never gives the label
    precision: Estimate
    #: highest recall at that precision
    champion_recall: Estimate
    challenger_recall: Estimate
    #: recall of the champion minus that of the challenger
    drop: Estimate


@dataclass(frozen=True, slots=True)
class MacroComparison:
    """Macro average precision on some of the texts."""

    texts: int
    #: labels that could be measured there
    labels: Sequence[str]
    champion: Estimate
    challenger: Estimate
    #: value of the challenger minus that of the champion
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same texts."""

    macro: MacroComparison
    labels: Mapping[str, LabelComparison]
    #: by language
    slices: Mapping[str, MacroComparison]
    #: labels that both know, with too few positives or negatives to be measured
    unmeasured: Sequence[str]
    #: labels that could be measured, and that only the champion knows
    lost: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        return plain


def compare(
    champion: Scores,
    challenger: Scores,
    truth: LabelMatrix,
    labels: Sequence[str],
    given: Booleans,
    *,
    languages: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two models on texts that neither learnt from.

    Args:
        champion: probabilities [texts, labels] of the one that serves.
        challenger: of the one that would replace it.
        truth: [texts, labels]; 1, 0 or unknown.
        labels: keys of the columns: those that both models know.
        given: [texts, labels]: whether the champion gives the label.
        languages: of each text.
        rng: draws the resamples.
        resamples: how many.
    """
    enough = measurable(truth)
    pairs = [_Pair.of(champion[:, i], challenger[:, i], truth[:, i], given[:, i]) for i in enough]
    parts = _parts(languages, truth)
    everywhere = np.ones((1, len(truth)))
    point = [pair.statistics(everywhere) for pair in pairs]
    part_point = [_areas(pairs, columns, everywhere, rows) for rows, columns in parts.values()]
    draws: list[list[Floats]] = [[] for _ in pairs]
    part_draws: list[list[Floats]] = [[] for _ in parts]
    for weights in resampled(len(truth), rng, resamples):
        for blocks, pair in zip(draws, pairs, strict=True):
            blocks.append(pair.statistics(weights))
        for blocks, (rows, columns) in zip(part_draws, parts.values(), strict=True):
            blocks.append(_areas(pairs, columns, weights, rows))
    drawn = [np.concatenate(blocks) for blocks in draws]
    keys = [labels[i] for i in enough]
    return Comparison(
        macro=_macro(
            len(truth), keys, _mean([values[:, :2] for values in point]), _mean([values[:, :2] for values in drawn])
        ),
        labels={
            key: LabelComparison(
                positives=int((truth[:, i] == 1).sum()),
                negatives=int((truth[:, i] == 0).sum()),
                champion_average_precision=estimate_of(value[0, 0], draws_of_label[:, 0]),
                challenger_average_precision=estimate_of(value[0, 1], draws_of_label[:, 1]),
                precision=estimate_of(value[0, 2], draws_of_label[:, 2]),
                champion_recall=estimate_of(value[0, 3], draws_of_label[:, 3]),
                challenger_recall=estimate_of(value[0, 4], draws_of_label[:, 4]),
                drop=estimate_of(value[0, 3] - value[0, 4], draws_of_label[:, 3] - draws_of_label[:, 4]),
            )
            for key, i, value, draws_of_label in zip(keys, enough, point, drawn, strict=True)
        },
        slices={
            name: _macro(len(rows), [keys[column] for column in columns], value, np.concatenate(blocks))
            for (name, (rows, columns)), value, blocks in zip(parts.items(), part_point, part_draws, strict=True)
        },
        unmeasured=[label for i, label in enumerate(labels) if i not in enough],
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """One label's known texts, ranked by either model."""

    known: NDArray[np.int64]
    truth: Booleans
    given: Booleans
    champion: Ranking
    challenger: Ranking

    @classmethod
    def of(cls, champion: Floats, challenger: Floats, truth: NDArray[np.int8], given: Booleans) -> _Pair:
        known = np.flatnonzero(truth != UNKNOWN)
        yes = truth[known] == 1
        return cls(known, yes, given[known], Ranking.of(champion[known], yes), Ranking.of(challenger[known], yes))

    def statistics(self, weights: Floats) -> Floats:
        """[resamples, 5] under weights [resamples, all texts]: both average precisions, the champion's precision, and
        the recall of both at that precision."""
        own = weights[:, self.known]
        given = own @ self.given.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(given > 0, own @ (self.truth & self.given) / given, np.nan)
        curves = [ranking.curve(own) for ranking in (self.champion, self.challenger)]
        recalls = [_recall_at(hits, seen, precision) for hits, seen in curves]
        return np.stack([*(area(hits, seen) for hits, seen in curves), precision, *recalls], axis=1)


def _recall_at(hits: Floats, seen: Floats, precision: Floats) -> Floats:
    """The highest recall [resamples] of the cuts of `Ranking.curve` that are as precise; 0 if none is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        # No cut reaches a precision that is nan.
        enough = hits / seen >= precision[:, None] - _SAME
        recall = np.where(enough, hits, 0).max(axis=1) / hits[:, -1]
    return np.asarray(recall)


def _parts(languages: Sequence[str], truth: LabelMatrix) -> dict[str, tuple[NDArray[np.int64], list[int]]]:
    """Positions of each language's texts, and the places of the measured labels that can be measured there."""
    enough = measurable(truth)
    names, counts = np.unique(np.array(languages, dtype=np.str_), return_counts=True)
    parts = {}
    for name, count in zip(names, counts, strict=True):
        if LEAST_SLICE <= count < len(languages):
            rows = np.flatnonzero(np.array(languages) == name)
            there = measurable(truth[rows])
            columns = [place for place, i in enumerate(enough) if i in there]
            if columns:
                parts[str(name)] = (rows, columns)
    return parts


def _areas(pairs: Sequence[_Pair], columns: Sequence[int], weights: Floats, rows: NDArray[np.int64]) -> Floats:
    """[resamples, 2]: macro average precision of both models on some of the texts."""
    inside = np.zeros(weights.shape[1])
    inside[rows] = 1
    areas = []
    for column in columns:
        pair = pairs[column]
        own = (weights * inside)[:, pair.known]
        both = (pair.champion.average_precision(own), pair.challenger.average_precision(own))
        areas.append(np.stack(both, axis=1))
    return _mean(areas)


def _mean(areas: Sequence[Floats]) -> Floats:
    """The mean over labels of [resamples, 2] each, over those that came to a number in the resample."""
    if not areas:
        return np.full((1, 2), np.nan)
    stacked = np.stack(areas)
    usable = np.isfinite(stacked)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(usable, stacked, 0).sum(axis=0) / usable.sum(axis=0))


def _macro(texts: int, labels: Sequence[str], point: Floats, draws: Floats) -> MacroComparison:
    return MacroComparison(
        texts=texts,
        labels=labels,
        champion=estimate_of(point[0, 0], draws[:, 0]),
        challenger=estimate_of(point[0, 1], draws[:, 1]),
        difference=estimate_of(point[0, 1] - point[0, 0], draws[:, 1] - draws[:, 0]),
    )
