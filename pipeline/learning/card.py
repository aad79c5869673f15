"""The model card for people: purpose, data and figures of a model (Mitchell et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from pipeline.atomic import write_file
from pipeline.learning.evaluate import Evaluation
from pipeline.learning.plots import precision_recall_plot, reliability_plot
from pipeline.measure.intervals import Estimate
from pipeline.models.artefact import Manifest
from pipeline.models.purposes import shown_purpose
from pipeline.pages.render import render

CARD = "README.md"


def write_card(folder: Path, manifest: Manifest, evaluation: Evaluation, *, held_out: bool = True) -> Path:
    """Write `README.md` with its plots into `folder`; return the path of the card.

    Args:
        folder: where.
        manifest: the model.
        evaluation: its figures.
        held_out: true where the figures come from its own held-out texts, false for texts given to `saring evaluate`.
    """
    precision_recall_plot(evaluation, folder / "precision-recall.png")
    reliability_plot(evaluation, folder / "reliability.png")
    values = {
        "manifest": manifest,
        "metrics": evaluation.overall,
        "slices": evaluation.slices,
        "labels": evaluation.labels,
        "held_out": held_out,
        "harmful": manifest.data.get("harmful_labels", True),
    }
    path = folder / CARD
    filters: dict[str, Callable[..., str]] = {"est": _bracketed, "purpose": shown_purpose}
    write_file(path, render("pipeline.learning", "card.md.j2", values, filters=filters))
    return path


def _bracketed(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "not measured"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
