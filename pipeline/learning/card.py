"""The model card: what a model is, what it was made of, and what it is worth, for people (Mitchell et al. 2019)."""

from __future__ import annotations

import math
from pathlib import Path

from pipeline.learning.evaluate import Evaluation
from pipeline.learning.plots import precision_recall_plot, reliability_plot
from pipeline.measure.intervals import Estimate
from pipeline.models.artefact import Manifest
from pipeline.pages.render import render

CARD = "README.md"


def write_card(folder: Path, manifest: Manifest, evaluation: Evaluation, *, held_out: bool = True) -> Path:
    """Write `README.md` with its plots into `folder`; the path of the card.

    Args:
        folder: where.
        manifest: the model.
        evaluation: what it is worth.
        held_out: whether it was measured on its own held-out texts, or on whatever somebody gave.
    """
    precision_recall_plot(evaluation, folder / "precision-recall.png")
    reliability_plot(evaluation, folder / "reliability.png")
    values = {
        "manifest": manifest,
        "metrics": evaluation.overall,
        "slices": evaluation.slices,
        "labels": evaluation.labels,
        "held_out": held_out,
    }
    path = folder / CARD
    path.write_text(render("pipeline.learning", "card.md.j2", values, filters={"est": _bracketed}), encoding="utf-8")
    return path


def _bracketed(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "not measured"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
