"""The multi-label loss: unknown labels are left out, and positives of scarce labels weigh more."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.measure.arrays import LabelMatrix


def masked_loss(logits: Tensor, truth: Tensor, pos_weight: Tensor | None = None) -> tuple[Tensor, int]:
    """Binary cross-entropy summed over known labels, and how many are known. Unknown labels have no gradient.

    Args:
        logits: [texts, labels].
        truth: [texts, labels]: 1, 0, or negative for unknown.
        pos_weight: [labels], the weight of a positive.
    """
    known = truth >= 0
    # Rows are chosen, not multiplied by 0, because an infinite loss times 0 is nan.
    rows, columns = known.nonzero(as_tuple=True)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[rows, columns].float(),
        truth[rows, columns].float(),
        pos_weight=pos_weight[columns] if pos_weight is not None else None,
        reduction="sum",
    )
    return losses, len(rows)


def positive_weights(truth: LabelMatrix, cap: float) -> NDArray[np.float32]:
    """Weight of a positive of each label: negatives over positives among the known, at least 1 and at most `cap`.

    A label of one text in a hundred would otherwise be learnt last. This shifts probabilities upwards;
    calibration on dev corrects that.
    """
    positives = np.maximum((truth == 1).sum(axis=0), 1)
    weights: NDArray[np.float32] = np.clip((truth == 0).sum(axis=0) / positives, 1.0, cap).astype(np.float32)
    return weights
