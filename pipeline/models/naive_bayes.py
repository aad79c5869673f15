"""Naive Bayes ratios of n-grams: a second view for a linear classifier (Wang & Manning 2012, "Baselines and Bigrams").

An n-gram that is as frequent with a label as without it is made small, so that a few telling n-grams are not drowned
by the many others. The classifier over scaled features is a classifier over the plain ones: the scale goes into its
weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import Booleans, Floats, Ints

if TYPE_CHECKING:
    import scipy.sparse as sp

#: part of a feature that stays however frequent it is on both sides (their interpolation), and the added count
_KEPT, _ADDED = 0.25, 1.0


def ratios(features: sp.csr_matrix, truth: Booleans, weights: Floats) -> NDArray[np.float32]:
    """The scale of each feature: [buckets].

    Args:
        features: [texts, buckets].
        truth: whether the label is true of each text.
        weights: what each text counts: `even_within`.
    """
    import scipy.sparse as sp

    present = sp.csr_matrix(
        (np.ones_like(features.data), features.indices, features.indptr), shape=features.shape, copy=False
    )
    yes, no = (present.T @ (weights * answers) + _ADDED for answers in (truth, ~truth))
    ratio = np.abs(np.log((yes / yes.sum()) / (no / no.sum())))
    return np.asarray(_KEPT + (1 - _KEPT) * ratio, dtype=np.float32)


def even_within(groups: Ints, truth: Booleans) -> Floats:
    """Weights that make both answers count the same in each group; a group with one answer counts nothing.

    So an n-gram that only tells groups apart has no ratio. If no group has both answers, all texts are one group.
    """
    weights = _even(groups, truth)
    return weights if weights.any() else _even(np.zeros_like(groups), truth)


def _even(groups: Ints, truth: Booleans) -> Floats:
    weights = np.zeros(len(truth))
    for group in np.unique(groups):
        rows = groups == group
        share = truth[rows].mean()
        if 0 < share < 1:
            weights[rows] = np.where(truth[rows], 0.5 / share, 0.5 / (1 - share))
    return weights
