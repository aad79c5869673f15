"""The multi-label loss: unknown labels are left out, and positives of scarce labels weigh more."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.measure.arrays import LabelMatrix


def masked_loss(
    logits: Tensor, truth: Tensor, pos_weight: Tensor | None = None, weights: Tensor | None = None
) -> tuple[Tensor, float]:
    """Binary cross-entropy summed over known labels, and how many are known. Unknown labels have no gradient.

    Args:
        logits: [texts, labels].
        truth: [texts, labels]: 1, 0, or negative for unknown.
        pos_weight: [labels], the weight of a positive.
        weights: [texts, labels], of the known answers; the sum is weighted, and so is the number of known labels.
    """
    known = truth >= 0
    # Rows are chosen, not multiplied by 0, because an infinite loss times 0 is nan.
    rows, columns = known.nonzero(as_tuple=True)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[rows, columns].float(),
        truth[rows, columns].float(),
        weight=weights[rows, columns] if weights is not None else None,
        pos_weight=pos_weight[columns] if pos_weight is not None else None,
        reduction="sum",
    )
    return losses, len(rows) if weights is None else float(weights[rows, columns].sum())


def positive_weights(truth: LabelMatrix, cap: float, weights: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Weight of a positive of each label: negatives over positives among the known, at least 1 and at most `cap`.

    A label of one text in a hundred would otherwise be learnt last. This shifts probabilities upwards;
    calibration on dev corrects that.

    Args:
        truth: [texts, labels].
        cap: the largest weight.
        weights: [texts, labels], of the answers; None: each counts as one.
    """
    counted = np.ones(truth.shape, dtype=np.float32) if weights is None else weights
    yes, no = (np.where(truth == answer, counted, 0).sum(axis=0, dtype=np.float64) for answer in (1, 0))
    chosen: NDArray[np.float32] = np.clip(no / np.where(yes > 0, yes, 1), 1.0, cap).astype(np.float32)
    return chosen
