"""Texts as numbers, and batches of them as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline.models.training.order import Rows

Tokens = list[list[int]]


def tokenise(tokenizer: Any, texts: Sequence[str], longest: int) -> Tokens:
    """The tokens of each text, at most `longest`, at least one: an empty text becomes a padding token."""
    if not texts:
        return []
    encoded: Tokens = tokenizer(
        list(texts), truncation=True, max_length=longest, padding=False, return_attention_mask=False
    )["input_ids"]
    return [tokens or [tokenizer.pad_token_id] for tokens in encoded]


def batch_of(tokens: Tokens, rows: Rows | Sequence[int], padding: int, device: torch.device) -> dict[str, Tensor]:
    """Some texts as `input_ids` and `attention_mask`, both [texts, longest of them], padded on the right."""
    chosen = [tokens[i] for i in rows]
    width = max(map(len, chosen))
    ids = torch.tensor(
        [text_tokens + [padding] * (width - len(text_tokens)) for text_tokens in chosen], dtype=torch.long
    )
    mask = torch.tensor(
        [[1] * len(text_tokens) + [0] * (width - len(text_tokens)) for text_tokens in chosen], dtype=torch.long
    )
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
