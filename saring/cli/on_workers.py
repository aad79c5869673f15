"""`--async`: a command's work, done by the workers and followed from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saring.cli import common


def on_the_workers(ctx: common.Context, stage: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Have workers carry out a stage and follow it with the usual progress bar; what the run reports.

    Raises:
        RunConflict: the stage is at work on that data already.
        RunFailed: the run ended in an error.
        RunCancelled: somebody cancelled it.
    """
    # Celery is not loaded by commands that have no use for it
    from saring.workers.handover import hand_over

    with common.progress_bar() as progress:
        return hand_over(ctx, stage, params, progress)
