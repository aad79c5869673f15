"""Texts as numbers, and batches of them as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline.models.training.order import Rows

Tokens = list[list[int]]


def tokenise(tokenizer: Any, texts: Sequence[str], longest: int) -> Tokens:
    """The tokens of each text, at most `longest`, at least one: a text of nothing is a padding token."""
    if not texts:
        return []
    found: Tokens = tokenizer(
        list(texts), truncation=True, max_length=longest, padding=False, return_attention_mask=False
    )["input_ids"]
    return [tokens or [tokenizer.pad_token_id] for tokens in found]


def batch_of(tokens: Tokens, rows: Rows | Sequence[int], padding: int, device: torch.device) -> dict[str, Tensor]:
    """Some texts as `input_ids` and `attention_mask`, both [texts, longest of them], padded on the right."""
    chosen = [tokens[i] for i in rows]
    width = max(map(len, chosen))
    ids = torch.tensor([one + [padding] * (width - len(one)) for one in chosen], dtype=torch.long)
    mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in chosen], dtype=torch.long)
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
