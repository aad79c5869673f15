"""Counts of hashed n-grams of some texts at once, with the n-grams of words that came before kept.

A server scores texts in batches of some dozens, and their words are mostly those of the texts before. scikit-learn's
`HashingVectorizer` cuts and hashes each word again, which was most of the time of a verdict. The counts are the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.models.few_texts import character_ngrams, word_ngrams

if TYPE_CHECKING:
    import scipy.sparse as sp

#: words whose n-grams are kept, and the longest of them: 20 MB at most
_KEPT, _LONGEST = 1 << 15, 40


def count_characters(texts: Sequence[str], lengths: tuple[int, int], buckets: int) -> sp.csr_matrix:
    """Counts of the n-grams of characters within words, as `char_wb` cuts them: [texts, buckets], float32.

    Args:
        texts: in lower case.
        lengths: least and greatest length of an n-gram.
        buckets: how many there are, a power of two.
    """
    rows = []
    for text in texts:
        words = [
            _of_word(word, lengths, buckets) if len(word) <= _LONGEST else _of_word.__wrapped__(word, lengths, buckets)
            for word in text.split()
        ]
        rows.append(np.concatenate(words) if words else np.zeros(0, dtype=np.int64))
    return _counted(rows, buckets)


def count_words(
    texts: Sequence[str], pattern: re.Pattern[str], lengths: tuple[int, int], buckets: int
) -> sp.csr_matrix:
    """Counts of the n-grams of words: [texts, buckets], float32.

    Args:
        texts: in lower case.
        pattern: matches a word.
        lengths: least and greatest number of words in an n-gram.
        buckets: how many there are, a power of two.
    """
    return _counted([_hashed(list(word_ngrams(text, pattern, *lengths)), buckets) for text in texts], buckets)


@lru_cache(maxsize=_KEPT)
def _of_word(word: str, lengths: tuple[int, int], buckets: int) -> NDArray[np.int64]:
    """The buckets of the n-grams of one word."""
    return _hashed(list(character_ngrams(word, *lengths)), buckets)


def _hashed(grams: Sequence[str], buckets: int) -> NDArray[np.int64]:
    """The buckets that scikit-learn's `FeatureHasher` puts n-grams into."""
    from sklearn.utils.murmurhash import murmurhash3_32

    return np.abs(np.array([murmurhash3_32(gram) for gram in grams], dtype=np.int64)) % buckets


def _counted(rows: Sequence[NDArray[np.int64]], buckets: int) -> sp.csr_matrix:
    """Counts of the buckets in each row: [rows, buckets], float32, with sorted columns."""
    import scipy.sparse as sp

    sizes = [len(row) for row in rows]
    keys = np.repeat(np.arange(len(rows), dtype=np.int64) * buckets, sizes) + np.concatenate(rows)
    keys, counts = np.unique(keys, return_counts=True)
    ends = np.searchsorted(keys, np.arange(len(rows) + 1, dtype=np.int64) * buckets)
    values = counts.astype(np.float32)
    return sp.csr_matrix((values, (keys % buckets).astype(np.int32), ends.astype(np.int32)), (len(rows), buckets))
