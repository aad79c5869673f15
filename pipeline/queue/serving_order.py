"""Care for volunteers, and care for what their answers can be used for: pure functions.

Harsh texts are those expected to show a label that is not benign. They are never served many in a row while others
are left, a project meets no more than its cap of them a day, and labels that a volunteer opted out of never go there.
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
    """What a push asks about a queued text."""

    @property
    def harsh(self) -> bool: ...

    @property
    def expected(self) -> Sequence[str]: ...


Item = TypeVar("Item", bound=Pushable)


def is_harsh(expected: Iterable[str], taxonomy: Taxonomy) -> bool:
    """Whether any of the labels that are expected of a text is not benign."""
    return any(not taxonomy[key].benign for key in expected)


def harsh_rows(candidates: Candidates, taxonomy: Taxonomy) -> Booleans:
    """Which candidates are expected to be harsh, [n]. One of which nothing is known is not expected to be."""
    severe = np.array([not taxonomy[key].benign for key in candidates.labels], dtype=bool)
    return np.asarray(candidates.expected()[:, severe].any(axis=1))


def serving_order(values: Floats, harsh: Booleans, run: int) -> Rows:
    """In what order to serve texts: the greatest value first, but no more than `run` harsh ones in a row.

    Texts that are not harsh are kept back where they would otherwise run out before the harsh ones do. Among the
    harsh ones, and among the others, the order is that of the values; ties keep the order given.

    Args:
        values: how soon each should be served.
        harsh: which are harsh.
        run: how many harsh ones may come in a row while others are left, at least 1.
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
            # served now, a good one would be missing between the bad ones that are left
            runs_out = len(bad) > run * len(good)
            take_bad = runs_out or values[bad[-1]] >= values[good[-1]]
        in_a_row = in_a_row + 1 if take_bad else 0
        served.append(int((bad if take_bad else good).pop()))
    return np.array(served, dtype=np.intp)


def priorities(count: int) -> Floats:
    """The priority of each place in the serving order: between 0 and 1, distinct, the greatest first."""
    return np.asarray(1 - (np.arange(count) + 0.5) / max(1, count))


def allowed(items: Iterable[Item], *, harsh_cap: int, harsh_open_today: int, opt_out: Iterable[str] = ()) -> list[Item]:
    """Which of the queued texts may go into a project now, in the order given.

    Nobody can meet more harsh tasks in the project today than are open in it or were done in it today, so keeping
    that number at the cap keeps the cap for every volunteer.

    Args:
        items: queued texts, in serving order.
        harsh_cap: harsh tasks that may be met in the project a day.
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
