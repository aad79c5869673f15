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
from pipeline.models.hashing import count_characters, count_words

# SciPy and scikit-learn take seconds to import. Who gives labels to a few texts needs neither.
if TYPE_CHECKING:
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfTransformer

#: texts hashed together in one process; with fewer texts another process does not pay
_CHUNK = 8_000
#: texts for which `few_texts` takes as long as it takes to import scikit-learn
_WORTH_AN_IMPORT = 1_000
#: texts up to which words that came before pay, as a server's batches
_BATCH = 512
#: marks and smileys are words too: they show mood
_WORDS = r"<\w+>|\w+|[^\w\s]+"
_WORD = re.compile(_WORDS)


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
        return self.weigh_both(texts, weights, None)[0]

    def weigh_both(
        self, texts: Sequence[str], weights: NDArray[np.float32], folded: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """See `weigh`: for `weights`, and for weights of fewer buckets (a power of two) if there are any."""
        if len(texts) != 1:
            self._weighed += len(texts)
            if "sklearn" in sys.modules or self._weighed > _WORTH_AN_IMPORT or not texts:
                rows = self.transform(texts)
                own = np.asarray(rows @ weights)
                return own, None if folded is None else np.asarray(fold_columns(rows, len(folded)) @ folded)
        kinds = (
            partial(few_texts.character_ngrams, least=self.config.char_range[0], most=self.config.char_range[1]),
            partial(
                few_texts.word_ngrams,
                pattern=_WORD,
                least=self.config.word_range[0],
                most=self.config.word_range[1],
            ),
        )
        blocks = tuple(zip(kinds, self.idf, strict=True))
        # scikit-learn's lower case, after ours
        sums = [few_texts.weigh(text.lower(), blocks, weights, folded) for text in texts]
        second = [other for _, other in sums if other is not None]
        return np.stack([own for own, _ in sums]), np.stack(second) if second else None

    def weigh_words(self, text: str, weights: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float64]]:
        """The words of a text, and each one's part of what `weigh` gives: [words, labels]."""
        least, most = self.config.char_range
        return few_texts.weigh_words(
            text.lower(),
            partial(few_texts.character_ngrams, least=least, most=most),
            _WORD,
            self.config.word_range,
            self.idf,
            weights,
        )

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


def fold_columns(rows: sp.csr_matrix, buckets: int) -> sp.csr_matrix:
    """Features in fewer buckets, a power of two: [texts, buckets]."""
    import scipy.sparse as sp

    return sp.csr_matrix((rows.data, rows.indices & (buckets - 1), rows.indptr), shape=(rows.shape[0], buckets))


def _hash(texts: Sequence[str], config: NgramConfig) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    if 0 < len(texts) <= _BATCH:
        lowered = [text.lower() for text in texts]
        return (
            count_characters(lowered, config.char_range, 1 << config.char_bits),
            count_words(lowered, _WORD, config.word_range, 1 << config.word_bits),
        )
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
