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
#: inches: a panel's width and height with what is around it, and the space that names take
_PANEL = 2.4
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.58, 0.1, 0.45, 0.42
_BETWEEN, _ABOVE = 0.2, 0.45
#: inches from the edge to the words at the axes
_EDGE = 0.06


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
        axes.set_title(f"{label}\nAP {metrics.average_precision.value:.3f}", fontsize=8, y=1.0)

    _panels(evaluation, path, draw, "recall", "precision")


def reliability_plot(evaluation: Evaluation, path: Path) -> None:
    """Plot the frequency of a label over its probability, a panel for each label; bins of equal count."""

    def draw(axes: Any, label: str, p: Any, truth: Any) -> None:
        bins = np.array_split(np.argsort(p, kind="stable"), min(_BINS, len(p)))
        axes.plot([0, 1], [0, 1], linewidth=0.8, linestyle=":", color="grey")
        axes.plot([p[rows].mean() for rows in bins], [truth[rows].mean() for rows in bins], "o-", markersize=3)
        error = evaluation.overall.labels[label].calibration_error
        axes.set_title(f"{label}\nECE {error:.3f}", fontsize=8, y=1.0)

    _panels(evaluation, path, draw, "probability", "frequency")


def _panels(evaluation: Evaluation, path: Path, draw: Any, x: str, y: str) -> None:
    # matplotlib takes a second to load, and most users of this module draw nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = [label for label in evaluation.labels if label in evaluation.overall.labels]
    rows = max(1, math.ceil(len(measured) / _COLUMNS))
    width, height = _PANEL * _COLUMNS, _PANEL * rows
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    # The panels are all alike, so their places are known, and their titles' (y): to have matplotlib look for them takes
    # longer than to draw everything.
    grid = figure.subplots(
        rows,
        _COLUMNS,
        squeeze=False,
        sharex=True,
        sharey=True,
        gridspec_kw={
            "left": _LEFT / width,
            "right": 1 - _RIGHT / width,
            "bottom": _BOTTOM / height,
            "top": 1 - _TOP / height,
            "wspace": _share(_BETWEEN, width - _LEFT - _RIGHT, _COLUMNS),
            "hspace": _share(_ABOVE, height - _BOTTOM - _TOP, rows),
        },
    )
    for axes in grid.flat[len(measured) :]:
        axes.set_axis_off()
    for axes, label in zip(grid.flat, measured, strict=False):
        column = evaluation.labels.index(label)
        known = evaluation.truth[:, column] != UNKNOWN
        draw(axes, label, evaluation.probabilities[known, column], evaluation.truth[known, column] == 1)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.tick_params(labelsize=6)
    figure.supxlabel(x, fontsize=8, y=_EDGE / height)
    figure.supylabel(y, fontsize=8, x=_EDGE / width)
    with new_file(path) as fresh:
        figure.savefig(fresh, dpi=110, format="png")


def _share(between: float, whole: float, count: int) -> float:
    """The space between panels as a share of a panel's size, which is what matplotlib takes."""
    return between / ((whole - between * (count - 1)) / count)
