"""Character and word n-grams, hashed: the model stores no words of any text, and needs no vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

#: texts hashed together in one process; with fewer texts another process does not pay
_CHUNK = 8_000


@dataclass(frozen=True, slots=True)
class NgramConfig:
    """Ranges of the n-grams, and the number of buckets they are hashed into (as powers of two).

    Characters within word boundaries catch the spelling variants of social Malay; word pairs catch negation.
    """

    char_range: tuple[int, int] = (3, 5)
    char_bits: int = 19
    word_range: tuple[int, int] = (1, 2)
    word_bits: int = 18


class Ngrams:
    """Sub-linear tf-idf of both kinds of n-grams, each block of length 1 (Salton & Buckley 1988)."""

    def __init__(self, config: NgramConfig, idf: Sequence[NDArray[np.float64]] | None = None) -> None:
        self.config = config
        self._idf = list(idf) if idf is not None else None

    @property
    def idf(self) -> list[NDArray[np.float64]]:
        """Inverse document frequencies of the character block and of the word block."""
        if self._idf is None:
            raise RuntimeError("the n-grams have not been fitted")
        return self._idf

    def fit(self, texts: Sequence[str], workers: int = 1) -> sp.csr_matrix:
        """Learn document frequencies from `texts`, and give their features: [texts, buckets], float32."""
        counts = self._counts(texts, workers)
        transformers = [_transformer().fit(block) for block in counts]
        self._idf = [np.asarray(transformer.idf_, dtype=np.float64) for transformer in transformers]
        return _join([transformer.transform(block) for transformer, block in zip(transformers, counts, strict=True)])

    def transform(self, texts: Sequence[str], workers: int = 1) -> sp.csr_matrix:
        """Features of `texts`: [texts, buckets], float32."""
        if not texts:
            return sp.csr_matrix(np.zeros((0, 2**self.config.char_bits + 2**self.config.word_bits), dtype=np.float32))
        blocks = []
        for block, idf in zip(self._counts(texts, workers), self.idf, strict=True):
            transformer = _transformer()
            transformer.idf_ = idf
            blocks.append(transformer.transform(block))
        return _join(blocks)

    def _counts(self, texts: Sequence[str], workers: int) -> list[sp.csr_matrix]:
        chunks = [texts[i : i + _CHUNK] for i in range(0, len(texts), _CHUNK)] or [[]]
        if workers == 1 or len(chunks) == 1:
            parts = [_hash(chunk, self.config) for chunk in chunks]
        else:
            parts = Parallel(n_jobs=workers)(delayed(_hash)(chunk, self.config) for chunk in chunks)
        return [sp.vstack([part[kind] for part in parts], format="csr") for kind in range(2)]


def _hash(texts: Sequence[str], config: NgramConfig) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    kinds = (
        {"analyzer": "char_wb", "ngram_range": config.char_range, "n_features": 2**config.char_bits},
        {
            "analyzer": "word",
            "ngram_range": config.word_range,
            "n_features": 2**config.word_bits,
            # Marks and smileys are words too: they show mood.
            "token_pattern": r"<\w+>|\w+|[^\w\s]+",
        },
    )
    blocks = [
        HashingVectorizer(alternate_sign=False, norm=None, dtype=np.float32, **kind).transform(texts or [""])[
            : len(texts)
        ]
        for kind in kinds
    ]
    return blocks[0], blocks[1]


def _transformer() -> TfidfTransformer:
    return TfidfTransformer(sublinear_tf=True)


def _join(blocks: Sequence[sp.csr_matrix]) -> sp.csr_matrix:
    joined: sp.csr_matrix = sp.hstack(blocks, format="csr", dtype=np.float32)
    return joined
