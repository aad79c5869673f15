"""What stages report, as plain values: for `--json`, and for the record of a run on workers."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.learning.retrain import Retrained
    from pipeline.learning.train import TrainReport
    from sync.pull.pull import PullReport
    from sync.pull.reconcile import ReconcileReport


def plain(report: PullReport | ReconcileReport) -> dict[str, Any]:
    """A pull or a comparison; before Python 3.12, `asdict` counts the entries of a Counter instead."""
    values = {one.name: getattr(report, one.name) for one in fields(report)}
    return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}


def trained(report: TrainReport) -> dict[str, Any]:
    """A training."""
    return {
        "model": report.model.manifest.version,
        "path": str(report.path),
        "metrics": report.evaluation.to_dict(),
        "splits": dict(report.splits),
        "left_out": dict(report.left_out),
        "data": report.model.manifest.model_dump(mode="json")["data"],
    }


def retrained(done: Retrained) -> dict[str, Any]:
    """A training from the store, and whether its model serves."""
    return trained(done.report) | {
        "promoted": done.promoted,
        "verdict": f"{'promoted' if done.promoted else 'not promoted'}: {done.verdict}",
        "gate": str(done.page),
    }
