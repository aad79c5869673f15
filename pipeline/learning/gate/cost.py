"""Cost of a model: time for one text, and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from pipeline.learning.gate.rules import Cost
from pipeline.models.artefact import TrainedModel

#: texts that are timed: so many at most, and so many at least, before a model has taken its time
_TEXTS, _LEAST = 100, 30
#: texts of the first call, which is not timed: enough for the encoder to load whatever makes it faster
_FIRST = 16
#: seconds that a slow model takes for them in all, after which no further text is timed
_SECONDS = 2.0
#: nanoseconds that the thread ran, and that it waited, and how often it ran
_WAITED = Path("/proc/thread-self/schedstat")
#: times that each text is timed; the shortest counts, because other work of the machine makes the rest longer
_TIMES = 3


def own_seconds() -> float:
    """Seconds from some beginning, less those that this thread waited for a processor that other programs had.

    Linux counts them (proc_pid_schedstat); elsewhere they are in.
    """
    try:
        waited = int(_WAITED.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        waited = 0.0
    return time.perf_counter() - waited


def measure_cost(
    model: TrainedModel,
    texts: Sequence[str],
    folder: Path,
    *,
    beside: Sequence[str] = (),
    clock: Callable[[], float] = own_seconds,
) -> Cost:
    """Time a model on single texts, as a volunteer's page or an application asks for them, and measure its folder.

    What a process loads once, at its first texts, is not in it.

    Args:
        model: to be timed.
        texts: repaired and masked; the first hundred are used, of a slow model fewer.
        folder: of the model.
        beside: names of files there that are no part of the model.
        clock: seconds, from any beginning.
    """
    took: list[float] = []
    spent = 0.0
    if texts:
        model.probabilities(list(islice(cycle(texts), _FIRST)))
    for text in texts[:_TEXTS]:
        if spent > _SECONDS and len(took) >= _LEAST:
            break
        seconds = [_timed(model, text, clock) for _ in range(_TIMES)]
        spent += sum(seconds)
        took.append(1_000 * min(seconds))
    p50, p95 = np.percentile(took, [50, 95]) if took else (0.0, 0.0)
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name not in beside)
    return Cost(p50_ms=float(p50), p95_ms=float(p95), texts=len(took), bytes=held)


def _timed(model: TrainedModel, text: str, clock: Callable[[], float]) -> float:
    """Seconds for one text."""
    start = clock()
    model.probabilities([text])
    return clock() - start
