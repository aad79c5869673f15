"""Precision-recall and reliability curves as PNG files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.atomic import new_file
from pipeline.learning.evaluate import Evaluation
from pipeline.measure.arrays import UNKNOWN

_COLUMNS = 4
_BINS = 10


def precision_recall_plot(evaluation: Evaluation, path: Path) -> None:
    """Plot precision over recall, a panel for each label, with the threshold and the share of positives."""

    def draw(axes: Any, label: str, p: Any, truth: Any) -> None:
        order = np.argsort(-p, kind="stable")
        hits = np.cumsum(truth[order])
        precision, recall = hits / np.arange(1, len(p) + 1), hits / max(1, hits[-1])
        axes.step(recall, precision, where="post", linewidth=1.4)
        axes.axhline(truth.mean(), linewidth=0.8, linestyle=":", color="grey")
        metrics = evaluation.overall.labels[label]
        axes.plot(metrics.recall.value, metrics.precision.value, "o", markersize=5)
        axes.set_title(f"{label}\nAP {metrics.average_precision.value:.3f}", fontsize=8)

    _panels(evaluation, path, draw, "recall", "precision")


def reliability_plot(evaluation: Evaluation, path: Path) -> None:
    """Plot the frequency of a label over its probability, a panel for each label; bins of equal count."""

    def draw(axes: Any, label: str, p: Any, truth: Any) -> None:
        bins = np.array_split(np.argsort(p, kind="stable"), min(_BINS, len(p)))
        axes.plot([0, 1], [0, 1], linewidth=0.8, linestyle=":", color="grey")
        axes.plot([p[rows].mean() for rows in bins], [truth[rows].mean() for rows in bins], "o-", markersize=3)
        error = evaluation.overall.labels[label].calibration_error
        axes.set_title(f"{label}\nECE {error:.3f}", fontsize=8)

    _panels(evaluation, path, draw, "probability", "frequency")


def _panels(evaluation: Evaluation, path: Path, draw: Any, x: str, y: str) -> None:
    # matplotlib takes a second to load, and most users of this module draw nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = [label for label in evaluation.labels if label in evaluation.overall.labels]
    rows = max(1, math.ceil(len(measured) / _COLUMNS))
    figure = Figure(figsize=(2.4 * _COLUMNS, 2.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(measured) :]:
        axes.set_axis_off()
    for axes, label in zip(grid.flat, measured, strict=False):
        column = evaluation.labels.index(label)
        known = evaluation.truth[:, column] != UNKNOWN
        draw(axes, label, evaluation.probabilities[known, column], evaluation.truth[known, column] == 1)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.tick_params(labelsize=6)
    figure.supxlabel(x, fontsize=8)
    figure.supylabel(y, fontsize=8)
    with new_file(path) as fresh:
        figure.savefig(fresh, dpi=110, format="png")
