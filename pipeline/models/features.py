"""Character and word n-grams, hashed: the model stores no words of any text, and needs no vocabulary."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.models import few_texts

# SciPy and scikit-learn take seconds to import. Who gives labels to a few texts needs neither.
if TYPE_CHECKING:
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfTransformer

#: texts hashed together in one process; with fewer texts another process does not pay
_CHUNK = 8_000
#: texts for which `few_texts` takes as long as it takes to import scikit-learn
_WORTH_AN_IMPORT = 1_000
#: marks and smileys are words too: they show mood
_WORDS = r"<\w+>|\w+|[^\w\s]+"


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
        self._weighed = 0

    @property
    def buckets(self) -> int:
        """The number of columns of the features."""
        return (1 << self.config.char_bits) + (1 << self.config.word_bits)

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

    def weigh(self, texts: Sequence[str], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of `texts`, each times its row of `weights` and added up: [texts, labels].

        A single text, and the first texts of a process that has not imported scikit-learn, go without it. The numbers
        are the same.
        """
        if len(texts) != 1:
            self._weighed += len(texts)
            if "sklearn" in sys.modules or self._weighed > _WORTH_AN_IMPORT or not texts:
                return np.asarray(self.transform(texts) @ weights)
        kinds = (
            partial(few_texts.character_ngrams, least=self.config.char_range[0], most=self.config.char_range[1]),
            partial(
                few_texts.word_ngrams,
                pattern=re.compile(_WORDS),
                least=self.config.word_range[0],
                most=self.config.word_range[1],
            ),
        )
        blocks = tuple(zip(kinds, self.idf, strict=True))
        # scikit-learn's lower case, after ours
        return np.stack([few_texts.weigh(text.lower(), blocks, weights) for text in texts])

    def transform(self, texts: Sequence[str], workers: int = 1) -> sp.csr_matrix:
        """Features of `texts`: [texts, buckets], float32."""
        import scipy.sparse as sp

        if not texts:
            return sp.csr_matrix(np.zeros((0, self.buckets), dtype=np.float32))
        blocks = []
        for block, idf in zip(self._counts(texts, workers), self.idf, strict=True):
            transformer = _transformer()
            transformer.idf_ = idf
            blocks.append(transformer.transform(block))
        return _join(blocks)

    def _counts(self, texts: Sequence[str], workers: int) -> list[sp.csr_matrix]:
        import scipy.sparse as sp
        from joblib import Parallel, delayed

        chunks = [texts[i : i + _CHUNK] for i in range(0, len(texts), _CHUNK)] or [[]]
        if workers == 1 or len(chunks) == 1:
            parts = [_hash(chunk, self.config) for chunk in chunks]
        else:
            parts = Parallel(n_jobs=workers)(delayed(_hash)(chunk, self.config) for chunk in chunks)
        return [sp.vstack([part[kind] for part in parts], format="csr") for kind in range(2)]


def prepare_for_many() -> None:
    """Import what hashes many texts, for a process in which none of them is to wait for it."""
    import sklearn.feature_extraction.text  # noqa: F401


def _hash(texts: Sequence[str], config: NgramConfig) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    from sklearn.feature_extraction.text import HashingVectorizer

    kinds = (
        {"analyzer": "char_wb", "ngram_range": config.char_range, "n_features": 2**config.char_bits},
        {
            "analyzer": "word",
            "ngram_range": config.word_range,
            "n_features": 2**config.word_bits,
            "token_pattern": _WORDS,
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
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer(sublinear_tf=True)


def _join(blocks: Sequence[sp.csr_matrix]) -> sp.csr_matrix:
    import scipy.sparse as sp

    joined: sp.csr_matrix = sp.hstack(blocks, format="csr", dtype=np.float32)
    return joined
