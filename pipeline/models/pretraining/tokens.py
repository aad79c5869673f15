"""Texts as token ids, and the token that replaces a masked one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from pipeline.errors import UsageError
from pipeline.progress import Progress, silent

#: mask of LLM2Vec where the tokenizer has no mask token
BLANK = "_"
_BATCH = 2_000

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as token ids, cut to a length."""

    ids: Sequence[Ids]
    #: true for each token that may be masked: not the special ones, and not the first of a text
    maskable: Sequence[NDArray[np.bool_]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        return np.array([len(tokens) for tokens in self.ids], dtype=np.int64)


def mask_id_of(tokenizer: PreTrainedTokenizerBase, given: str | None) -> int:
    """The token that replaces a masked one: the given one, the tokenizer's own, or `_`, as in LLM2Vec.

    The tokenizer is not changed: a text with that token in it stays the same.

    Raises:
        UsageError: the tokenizer knows no such token.
    """
    if given is None and tokenizer.mask_token_id is not None:
        return cast(int, tokenizer.mask_token_id)
    wanted = BLANK if given is None else given
    vocabulary = tokenizer.get_vocab()
    for form in (wanted, f"\u2581{wanted}", f"\u0120{wanted}"):
        if form in vocabulary:
            return cast(int, vocabulary[form])
    raise UsageError(f"the tokenizer has no token {wanted!r}: choose another with --mask-token")


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int, *, progress: Progress = silent
) -> Encoded:
    """Texts as ids with the tokenizer's special tokens, each cut to `length` tokens."""
    ids: list[Ids] = []
    maskable: list[NDArray[np.bool_]] = []
    special = np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int64)
    for start in range(0, len(texts), _BATCH):
        some = list(texts[start : start + _BATCH])
        for row in tokenizer(some, truncation=True, max_length=length, padding=False)["input_ids"]:
            tokens = np.array(row, dtype=np.int64)
            free = ~np.isin(tokens, special)
            free[:1] = False
            ids.append(tokens)
            maskable.append(free)
        progress(start + len(some), len(texts), "encoding")
    return Encoded(ids, maskable)
