"""Texts of many sources: weights so that none dominates, and the choice of texts where time is short.

A cell is what one source says of one label. Sources differ by a factor of a hundred in size, and one that labels a
hundred thousand texts `hate` would otherwise decide what hate is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import UNKNOWN, Floats, LabelMatrix

#: a cell's total weight grows with this power of its size: 1 is no balancing, 0 gives all cells the same
_POWER = 0.5
#: largest weight of an answer, and smallest, beside the mean of 1
_MOST, _LEAST = 4.0, 0.25


def first_sources(sources: Sequence[str], count: int) -> NDArray[np.int64]:
    """The number of each text's source, by the first of its names; 0 where nothing is known of sources."""
    if not sources:
        return np.zeros(count, dtype=np.int64)
    _, numbers = np.unique([names.split(",")[0] for names in sources], return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)


def answer_weights(truth: LabelMatrix, sources: NDArray[np.int64]) -> NDArray[np.float32]:
    """The weight of each known answer in the loss, 0 of the others: [texts, labels], of mean 1 over the known.

    Args:
        truth: [texts, labels].
        sources: of the texts, numbered from 0.
    """
    known = truth != UNKNOWN
    counts = np.zeros((int(sources.max(initial=0)) + 1, truth.shape[1]))
    np.add.at(counts, sources, known)
    weights = np.where(known, np.maximum(counts, 1)[sources] ** (_POWER - 1), 0.0)
    for _ in range(3):  # clipping moves the mean
        weights = (
            np.where(known, np.clip(weights / weights[known].mean(), _LEAST, _MOST), 0.0) if known.any() else weights
        )
    return weights.astype(np.float32)


def choose_rows(
    truth: LabelMatrix, sources: NDArray[np.int64], costs: Floats | NDArray[np.int64], most: float, *, seed: int
) -> NDArray[np.int64]:
    """The texts to learn from where not all fit, in order of position.

    Drawn without replacement (Efraimidis & Spirakis 2006) with a chance by the rarest answer of a text, a source's yes
    or no to a label: the smaller that cell, the likelier. So the positives of rare labels come first, and large sources
    fill the rest.

    Args:
        truth: [texts, labels].
        sources: of the texts, numbered from 0.
        costs: of each text, for example its tokens.
        most: sum of costs that fits.
        seed: of the draw.
    """
    if costs.sum() <= most:
        return np.arange(len(truth), dtype=np.int64)
    weights = np.zeros(len(truth))
    for answer in (1, 0):
        held = truth == answer
        counts = np.zeros((int(sources.max(initial=0)) + 1, truth.shape[1]))
        np.add.at(counts, sources, held)
        rarity = np.where(held, 1 / np.maximum(counts, 1)[sources], 0.0).max(axis=1, initial=0.0)
        weights = np.maximum(weights, rarity)
    draws = np.random.default_rng(seed).random(len(truth))
    with np.errstate(divide="ignore"):
        keys = np.where(weights > 0, np.log(draws) / np.maximum(weights, 1e-12), -np.inf)
    order = np.argsort(-keys, kind="stable")
    within = np.cumsum(costs[order]) <= most
    return np.sort(order[within]).astype(np.int64)
