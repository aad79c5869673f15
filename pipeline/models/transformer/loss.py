"""The multi-label loss that leaves out what is unknown, and weighs scarce labels up."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.measure.arrays import LabelMatrix


def masked_loss(logits: Tensor, truth: Tensor, pos_weight: Tensor | None = None) -> tuple[Tensor, int]:
    """Binary cross-entropy summed over known labels, and how many are known. What is unknown has no gradient at all.

    Args:
        logits: [texts, labels].
        truth: [texts, labels]: 1, 0, or negative for unknown.
        pos_weight: [labels]; what a positive counts, in negatives.
    """
    known = truth >= 0
    # chosen rather than multiplied by 0, which would turn an infinite loss into one that is not a number
    rows, columns = known.nonzero(as_tuple=True)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[rows, columns].float(),
        truth[rows, columns].float(),
        pos_weight=pos_weight[columns] if pos_weight is not None else None,
        reduction="sum",
    )
    return losses, len(rows)


def positive_weights(truth: LabelMatrix, cap: float) -> NDArray[np.float32]:
    """What a positive of each label counts: negatives over positives among the known, at least 1 and at most `cap`.

    A label of one text in a hundred would otherwise be learnt last. The probabilities that this shifts upwards are
    put right by calibration on dev.
    """
    positives = np.maximum((truth == 1).sum(axis=0), 1)
    weights: NDArray[np.float32] = np.clip((truth == 0).sum(axis=0) / positives, 1.0, cap).astype(np.float32)
    return weights
