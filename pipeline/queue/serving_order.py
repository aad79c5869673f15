"""The serving order, which limits harsh texts for volunteers: pure functions.

Harsh texts are those that probably have a label that is not benign. No more than a few are served in a row while others
are left, a project gets no more than its cap of them a day, and never a label that its volunteers opted out of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from pipeline.measure.arrays import Booleans, Floats
from pipeline.queue.candidates import Candidates
from pipeline.queue.sampling import Rows
from pipeline.taxonomy import Taxonomy


class Pushable(Protocol):
    """Properties of a queued text that a push needs."""

    @property
    def harsh(self) -> bool: ...

    @property
    def expected(self) -> Sequence[str]: ...


Item = TypeVar("Item", bound=Pushable)


def is_harsh(expected: Iterable[str], taxonomy: Taxonomy) -> bool:
    """True where a label that a text probably has is not benign."""
    return any(not taxonomy[key].benign for key in expected)


def harsh_rows(candidates: Candidates, taxonomy: Taxonomy) -> Booleans:
    """Flags of the candidates that are probably harsh, [n]; unknown texts count as not harsh."""
    severe = np.array([not taxonomy[key].benign for key in candidates.labels], dtype=bool)
    return np.asarray(candidates.expected()[:, severe].any(axis=1))


def serving_order(values: Floats, harsh: Booleans, run: int) -> Rows:
    """The serving order of texts: the greatest value first, but no more than `run` harsh ones in a row.

    Texts that are not harsh wait where they would otherwise run out before the harsh ones. Among the harsh texts, and
    among the others, the order is that of the values; ties keep the order given.

    Args:
        values: of each text; greater values are served first.
        harsh: true for each harsh text.
        run: largest number of harsh texts in a row while others are left, at least 1.
    """
    order = np.argsort(-values, kind="stable")
    bad, good = (list(order[harsh[order] == kind][::-1]) for kind in (True, False))
    served: list[int] = []
    in_a_row = 0
    while bad or good:
        if not good or not bad:
            take_bad = bool(bad)
        elif in_a_row >= run:
            take_bad = False
        else:
            # A harmless text that is served now would be missing between the harsh texts that are left.
            runs_out = len(bad) > run * len(good)
            take_bad = runs_out or values[bad[-1]] >= values[good[-1]]
        in_a_row = in_a_row + 1 if take_bad else 0
        served.append(int((bad if take_bad else good).pop()))
    return np.array(served, dtype=np.intp)


def priorities(count: int) -> Floats:
    """The priority of each place in the serving order: between 0 and 1, distinct, the greatest first."""
    return np.asarray(1 - (np.arange(count) + 0.5) / max(1, count))


def allowed(items: Iterable[Item], *, harsh_cap: int, harsh_open_today: int, opt_out: Iterable[str] = ()) -> list[Item]:
    """Choose the queued texts that may go into a project now, in the order given.

    Nobody can see more harsh tasks in the project today than are open in it or were done in it today, so limiting
    that number limits it for every volunteer.

    Args:
        items: queued texts, in serving order.
        harsh_cap: largest number of harsh tasks in the project a day.
        harsh_open_today: its harsh tasks that are open, or were done today.
        opt_out: labels whose texts never go there.
    """
    unwanted = frozenset(opt_out)
    room = harsh_cap - harsh_open_today
    going: list[Item] = []
    for item in items:
        if unwanted.intersection(item.expected):
            continue
        if item.harsh:
            if room <= 0:
                continue
            room -= 1
        going.append(item)
    return going
