"""The order of the examples: shuffled, with texts of similar length side by side.

A batch is padded to its longest text, so a batch of like lengths wastes little. Sorting everything by length would show
the model short texts first; sorting within random pools of some dozens of batches, and shuffling the batches, keeps
the order random where it matters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: batches whose examples are sorted together
POOL = 32

Rows = NDArray[np.int64]


def bucketed_batches(
    lengths: Sequence[int] | NDArray[np.integer], batch_size: int, rng: np.random.Generator, *, pool: int = POOL
) -> list[Rows]:
    """Batches of positions in `lengths`, each position in exactly one of them.

    Args:
        lengths: of the examples, in tokens.
        batch_size: examples in a batch; the last may be smaller.
        rng: draws the order.
        pool: batches whose examples are sorted by length together.
    """
    if batch_size < 1 or pool < 1:
        raise ValueError("batch_size and pool must be 1 or more")
    sizes = np.asarray(lengths)
    shuffled = rng.permutation(len(sizes)).astype(np.int64)
    batches: list[Rows] = []
    step = batch_size * pool
    for start in range(0, len(shuffled), step):
        chunk = shuffled[start : start + step]
        # The sort is stable, so that texts of one length keep their random order.
        chunk = chunk[np.argsort(sizes[chunk], kind="stable")]
        batches.extend(chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size))
    return [batches[i] for i in rng.permutation(len(batches))]


def epoch_batches(
    lengths: Sequence[int] | NDArray[np.integer], batch_size: int, *, seed: int, epoch: int
) -> list[Rows]:
    """The batches of an epoch: a function of its number and the seed, so that nothing has to be saved."""
    return bucketed_batches(lengths, batch_size, np.random.default_rng([seed, epoch]))


def sorted_batches(lengths: Sequence[int] | NDArray[np.integer], batch_size: int) -> list[Rows]:
    """Batches for scoring: longest first, so that running out of memory shows at once."""
    order = np.argsort(-np.asarray(lengths), kind="stable").astype(np.int64)
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
