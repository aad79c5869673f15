"""Figures of a model for a page, as plain values: each label with its curves, and slices by language and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.learning.scores import ScoredTexts
from pipeline.measure.arrays import UNKNOWN, Booleans
from pipeline.measure.curves import precision_recall, reliability
from pipeline.measure.metrics import LEAST_SLICE, Metrics, measure, rounded

#: sources with figures of their own: those with most texts
MOST_SOURCES = 12


def model_figures(scores: ScoredTexts, thresholds: Mapping[str, float], *, rng: np.random.Generator) -> dict[str, Any]:
    """Figures of a model from its scores on its test texts.

    Args:
        scores: of the model.
        thresholds: the probability from which on the model gives each label.
        rng: draws the resamples.

    Returns:
        `texts`, `test_set`, `overall` (as `saring evaluate --json` has them), `curves` by label, and `slices`: for
        each language and source with enough texts its kind, name, number of texts, and macro figures. Numbers are
        rounded to four places.
    """
    everything = np.ones(len(scores.truth), dtype=np.bool_)
    overall = _measured(scores, everything, thresholds, rng)
    curves = {}
    for label in overall.labels:
        column = scores.labels.index(label)
        known = scores.truth[:, column] != UNKNOWN
        probabilities, truth = scores.probabilities[known, column], scores.truth[known, column] == 1
        curves[label] = {
            "precision_recall": [asdict(point) for point in precision_recall(probabilities, truth, rng=rng)],
            "reliability": [asdict(part) for part in reliability(probabilities, truth)],
        }
    slices = []
    for kind, name, rows in _slices(scores):
        metrics = _measured(scores, rows, thresholds, rng)
        slices.append(
            {
                "kind": kind,
                "name": name,
                "texts": metrics.texts,
                "labels": len(metrics.labels),
                "macro_average_precision": asdict(metrics.macro_average_precision),
                "macro_f1": asdict(metrics.macro_f1),
            }
        )
    plain: dict[str, Any] = rounded(
        {
            "texts": len(scores.truth),
            "test_set": scores.test_set,
            "overall": overall.to_dict(),
            "curves": curves,
            "slices": slices,
        }
    )
    return plain


def _slices(scores: ScoredTexts) -> list[tuple[str, str, Booleans]]:
    """Languages and sources that have enough texts, and are not all of them."""
    languages = np.array(scores.languages, dtype=np.str_)
    # a text of several sources counts in each
    sources = [frozenset(names.split(",")) if names else frozenset[str]() for names in scores.sources]
    parts = [("language", name, languages == name) for name in _names(scores.languages)]
    parts += [
        ("source", name, np.array([name in some for some in sources], dtype=np.bool_))
        for name in _names([name for some in sources for name in some])[:MOST_SOURCES]
    ]
    return [part for part in parts if LEAST_SLICE <= part[2].sum() < len(scores.truth)]


def _names(values: Sequence[str]) -> list[str]:
    """Distinct values, the most frequent first."""
    names, counts = np.unique(np.array(values, dtype=np.str_), return_counts=True)
    return [str(names[i]) for i in np.argsort(-counts, kind="stable")]


def _measured(
    scores: ScoredTexts, rows: Booleans, thresholds: Mapping[str, float], rng: np.random.Generator
) -> Metrics:
    return measure(
        scores.probabilities[rows],
        scores.truth[rows],
        scores.labels,
        scores.given[rows],
        thresholds=thresholds,
        rng=rng,
    )
