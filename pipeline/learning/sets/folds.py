"""Folds that share no near-duplicates, so that a model can be asked about texts that it did not learn from."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pipeline.learning.sets.examples import Examples
from pipeline.measure.arrays import Ints
from pipeline.texts.near_duplicates import near_duplicate_groups


def deal_folds(examples: Examples, folds: int, *, seed: int, groups: Sequence[int] | None = None) -> Ints:
    """The fold of each example, from 0: int array of shape [examples].

    A group of near-duplicates is in one fold. Within strata of their rarest label, groups are dealt one by one in the
    order of a keyed hash, so that each fold has its share of rare labels, and the same texts give the same folds.

    Args:
        examples: distinct texts with their labels.
        folds: number of folds.
        seed: part of the key of the hash.
        groups: the group of each example; None: found here.
    """
    of_group = near_duplicate_groups(examples.texts) if groups is None else groups
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(of_group):
        members[group].append(row)
    asserted = examples.truth == 1
    # Equally rare labels are sorted by name, so that the order of the labels does not matter.
    rarity = np.argsort(np.lexsort((np.array(examples.labels), asserted.sum(axis=0))))
    strata: dict[int, list[list[int]]] = defaultdict(list)
    for rows in members.values():
        labels = np.flatnonzero(asserted[rows].any(axis=0))
        strata[int(min(rarity[labels], default=len(examples.labels)))].append(rows)
    fold = np.zeros(len(examples), dtype=np.int64)
    dealt = 0
    for _, stratum in sorted(strata.items()):
        for rows in sorted(stratum, key=lambda rows: _key(min(examples.ids[i].bytes for i in rows), seed)):
            fold[rows] = dealt % folds
            dealt += 1
    return fold


def _key(identity: bytes, seed: int) -> bytes:
    return hashlib.blake2b(identity, key=f"fold:{seed}".encode(), digest_size=8).digest()
