"""A most per label, and a most of negatives for each positive, for what a model learns from and for exports.

What is left out becomes unknown for that label alone: the text stays for its other labels, and goes only where nothing
is left of it. Which answers stay is decided by a hash, so the same texts and seed give the same answers, and a greater
most keeps all that a smaller one keeps.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.measure.arrays import UNKNOWN, Booleans, LabelMatrix

#: places of answers in the order in which they stay: the first ones stay
Places = NDArray[np.uint64]
#: answers of this place and later come after all preferred ones
_LATER = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True)
class Balance:
    """Numbers of answers of a label that are kept.

    Raises:
        UsageError: a number is out of range.
    """

    #: texts that have a label, at most; None: all
    most: int | None = None
    #: texts that do not have a label, for each text kept that has it, at most; None: all. A label that no text has
    #: keeps all its texts
    negatives: float | None = None
    #: of the hash
    seed: int = 0

    def __post_init__(self) -> None:
        if self.most is not None and self.most < 1:
            raise UsageError(f"the most per label is {self.most}: give 1 or more")
        if self.negatives is not None and not 0 < self.negatives < math.inf:
            raise UsageError(f"{self.negatives:g} negatives for each positive are asked for: give more than 0")

    def __bool__(self) -> bool:
        return self.most is not None or self.negatives is not None

    def positives_of(self, yes: int) -> int:
        """The number of so many positives that stay."""
        return yes if self.most is None else min(yes, self.most)

    def negatives_of(self, yes: int, no: int) -> int:
        """The number of negatives that stay beside so many kept positives."""
        return no if self.negatives is None or not yes else min(no, math.ceil(self.negatives * yes))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Answers that a balance left out."""

    #: texts of which nothing was left
    texts: int
    #: [positives, negatives] by label; labels that lost nothing are left out
    labels: Mapping[str, tuple[int, int]]

    def to_dict(self, balance: Balance) -> dict[str, Any]:
        """Plain values, with the rule."""
        rule = {name: value for name, value in asdict(balance).items() if name != "seed"}
        return rule | {
            "texts_left_out": self.texts,
            "left_out": {label: {"yes": yes, "no": no} for label, (yes, no) in self.labels.items()},
        }


def places(ids: Sequence[bytes], seed: int, preferred: Booleans | None = None) -> Places:
    """The place of each text in the order of staying, the preferred ones before the others.

    Args:
        ids: of the texts, all different.
        seed: of the hash.
        preferred: of the texts; None: none.
    """
    key = f"balance:{seed}".encode()
    hashed = [int.from_bytes(hashlib.blake2b(identity, key=key, digest_size=8).digest()) >> 1 for identity in ids]
    order = np.array(hashed, dtype=np.uint64)
    return order if preferred is None else np.where(preferred, order, order | _LATER)


def last_places(yes: Places, no: Places, balance: Balance) -> tuple[int, int]:
    """The last place of a positive of a label that stays, and of a negative; -1: none stays.

    Args:
        yes: places of the texts that have the label.
        no: places of those that do not.
        balance: how many stay.
    """
    kept = balance.positives_of(len(yes))
    return _last(yes, kept), _last(no, balance.negatives_of(kept, len(no)))


def balanced(
    truth: LabelMatrix, ids: Sequence[bytes], balance: Balance, preferred: Booleans | None = None
) -> LabelMatrix:
    """The labels with what the balance leaves out unknown.

    Args:
        truth: [texts, labels].
        ids: of the texts, all different.
        balance: how many answers stay.
        preferred: [texts, labels]: answers that stay before others, such as those of people; None: none.
    """
    kept = truth.copy()
    plain = places(ids, balance.seed)
    for column in range(truth.shape[1]):
        own = plain if preferred is None else np.where(preferred[:, column], plain, plain | _LATER)
        yes, no = truth[:, column] == 1, truth[:, column] == 0
        last_yes, last_no = last_places(own[yes], own[no], balance)
        kept[(yes & _after(own, last_yes)) | (no & _after(own, last_no)), column] = UNKNOWN
    return kept


def left_out(before: LabelMatrix, after: LabelMatrix, labels: Sequence[str]) -> LeftOut:
    """Answers that were known before and are not after."""
    lost = (before != UNKNOWN) & (after == UNKNOWN)
    gone = lost.any(axis=1) & (after == UNKNOWN).all(axis=1)
    counts = {
        label: (int((lost[:, i] & (before[:, i] == 1)).sum()), int((lost[:, i] & (before[:, i] == 0)).sum()))
        for i, label in enumerate(labels)
    }
    return LeftOut(int(gone.sum()), {label: both for label, both in counts.items() if any(both)})


def _last(order: Places, count: int) -> int:
    return int(np.partition(order, count - 1)[count - 1]) if count else -1


def _after(order: Places, last: int) -> Booleans:
    return np.ones(len(order), dtype=np.bool_) if last < 0 else order > np.uint64(last)
