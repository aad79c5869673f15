"""Masked next-token prediction (MNTP; BehnamGhader et al. 2024, LLM2Vec, arXiv:2404.05961, section 2.1).

Some tokens of a text are masked; the network, which sees the whole text, predicts each from the representation of the
token before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipeline.models.pretraining.network import MistralForMaskedNextToken
from pipeline.models.pretraining.tokens import Encoded
from pipeline.models.training.order import Rows, sorted_batches

_SCORING = 32


class Masker:
    """Makes batches of encoded texts and masks a share of their tokens."""

    def __init__(self, encoded: Encoded, *, mask_id: int, pad_id: int, share: float) -> None:
        self._encoded, self._mask_id, self._pad_id, self._share = encoded, mask_id, pad_id, share

    def batch(self, rows: Rows | Sequence[int], chance: torch.Generator | None = None) -> Batch:
        """The texts at these positions, their tokens masked by chance, anew each time.

        Args:
            rows: positions of the texts.
            chance: the generator; None: torch's own, whose state a checkpoint holds.
        """
        width = max(len(self._encoded.ids[i]) for i in rows)
        ids = torch.full((len(rows), width), self._pad_id)
        attention = torch.zeros((len(rows), width), dtype=torch.long)
        maskable = torch.zeros((len(rows), width), dtype=torch.bool)
        for at, i in enumerate(rows):
            tokens = self._encoded.ids[i]
            ids[at, : len(tokens)] = torch.from_numpy(tokens)
            attention[at, : len(tokens)] = 1
            maskable[at, : len(tokens)] = torch.from_numpy(self._encoded.maskable[i])
        masked = maskable & (torch.rand(ids.shape, generator=chance) < self._share)
        return Batch(ids.masked_fill(masked, self._mask_id), attention, masked, ids[masked])


class Batch:
    """Masked texts and what was masked."""

    def __init__(self, ids: Tensor, attention: Tensor, masked: Tensor, targets: Tensor) -> None:
        #: [texts, tokens] each
        self.ids, self.attention, self.masked = ids, attention, masked
        #: [masked tokens], text by text
        self.targets = targets

    def loss(self, model: MistralForMaskedNextToken) -> tuple[Tensor, float]:
        """The cross-entropies of the masked tokens in nats, summed, and how many there are."""
        device = next(model.parameters()).device
        logits = model(self.ids.to(device), self.attention.to(device), self.masked.to(device))
        return cross_entropy(logits.float(), self.targets.to(device), reduction="sum"), float(len(self.targets))


def held_out_loss(model: MistralForMaskedNextToken, masker: Masker, encoded: Encoded, seed: int) -> float:
    """Nats for each masked token of held-out texts; the same tokens are masked each time. In evaluation mode."""
    chance = torch.Generator().manual_seed(seed)
    total, count = 0.0, 0.0
    with torch.inference_mode():
        for rows in sorted_batches(encoded.lengths, _SCORING):
            batch = masker.batch(rows, chance)
            if not len(batch.targets):
                continue
            loss, weight = batch.loss(model)
            total, count = total + float(loss), count + weight
    return total / count if count else math.nan


def unigram_loss(learnt: Encoded, held_out: Encoded, vocabulary: int) -> float:
    """Nats for each token of held-out texts, predicted from the frequency of each token alone.

    Counts are those of the training texts, with one added to each, so that no token is impossible. A network that has
    learnt anything about context is below this loss.
    """
    known = np.concatenate([tokens[free] for tokens, free in zip(learnt.ids, learnt.maskable, strict=True)])
    asked = np.concatenate([tokens[free] for tokens, free in zip(held_out.ids, held_out.maskable, strict=True)])
    counts = np.bincount(known, minlength=vocabulary) + 1.0
    return float(-np.log(counts[asked] / counts.sum()).mean())
