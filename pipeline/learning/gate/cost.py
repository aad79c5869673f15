"""Cost of a model: time for one text, and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline.learning.gate.rules import Cost
from pipeline.models.artefact import TrainedModel

#: texts that are timed
_TEXTS = 100
#: times that each text is timed; the shortest counts, because other work of the machine makes the rest longer
_TIMES = 3


def measure_cost(
    model: TrainedModel,
    texts: Sequence[str],
    folder: Path,
    *,
    beside: Sequence[str] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Cost:
    """Time a model on single texts, as a volunteer's page or an application asks for them, and measure its folder.

    Args:
        model: to be timed.
        texts: repaired and masked; the first hundred are used.
        folder: of the model.
        beside: names of files there that are no part of the model.
        clock: seconds, from any beginning.
    """
    took = []
    for text in texts[:_TEXTS]:
        least = np.inf
        for _ in range(_TIMES):
            start = clock()
            model.probabilities([text])
            least = min(least, clock() - start)
        took.append(1_000 * least)
    p50, p95 = np.percentile(took, [50, 95]) if took else (0.0, 0.0)
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name not in beside)
    return Cost(p50_ms=float(p50), p95_ms=float(p95), texts=len(took), bytes=held)
