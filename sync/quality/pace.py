"""The time that raters take, and their changes to labels that were ticked for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.measure.intervals import Estimate, wilson
from sync.quality.answers import Answers

#: nobody opens, reads and submits a text in less
IMPOSSIBLE_SECONDS = 1.5
#: a tab may be left open: no task counts for more
LONGEST_SECONDS = 600.0
#: timed answers, below which no pace is given
LEAST_TIMED = 10
#: answers to tasks that showed ticks, below which no share is given
LEAST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds a task. None: not enough."""

    timed: int
    median: float | None
    #: the middle half of the answers lies between these
    lower_quartile: float | None
    upper_quartile: float | None
    #: share that nobody can have read
    impossible: float | None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Counts of what raters did with ticked labels."""

    kept: int
    changed: int
    #: nothing was ticked for them
    scratch: int
    #: kept among kept and changed; None: not enough
    kept_share: Estimate | None


def pace(answers: Answers) -> Pace:
    """The time that these answers took."""
    timed = answers.seconds[np.isfinite(answers.seconds)]
    if len(timed) < LEAST_TIMED:
        return Pace(len(timed), None, None, None, None)
    low, middle, high = (float(value) for value in np.percentile(np.minimum(timed, LONGEST_SECONDS), [25, 50, 75]))
    return Pace(len(timed), middle, low, high, float((timed < IMPOSSIBLE_SECONDS).mean()))


def acceptance(answers: Answers) -> Acceptance:
    """The share of these answers that left the ticks as they were."""
    kept, shown = int((answers.shown & answers.kept).sum()), int(answers.shown.sum())
    return Acceptance(kept, shown - kept, len(answers) - shown, wilson(kept, shown, least=LEAST_SHOWN))
