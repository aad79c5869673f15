"""The features of a few texts, without scikit-learn and SciPy: to import them takes longer than a command should.

The numbers are those of `features.Ngrams`, to the last bit: scikit-learn's analyzers (`char_wb` and `word`), its
hashing (MurmurHash3, 32 bits, seed 0), and its tf-idf with a sub-linear term frequency, each block of length 1.
A text takes a millisecond here. With many texts, scikit-learn needs a fifth of that for each.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

#: cuts a text into n-grams
Cut = Callable[[str], Iterator[str]]
_WIDE = re.compile(r"\s\s+")
_WORD = re.compile(r"\S+")
_32_BITS = 0xFFFFFFFF


def weigh(
    text: str,
    blocks: Sequence[tuple[Cut, NDArray[np.float64]]],
    weights: NDArray[np.float32],
    folded: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The sum of a text's features, each times its row of weights and added up: [labels].

    Args:
        text: repaired and masked, in lower case.
        blocks: for each kind of n-grams, how a text is cut, and the inverse document frequency of each bucket.
        weights: [buckets of all blocks, labels].
        folded: weights of fewer buckets, a power of two, for the same features: the second sum. None: there is none.
    """
    columns: list[NDArray[np.intp]] = []
    values: list[NDArray[np.float32]] = []
    start = 0
    for cut, idf in blocks:
        counts = Counter(bucket(gram, len(idf)) for gram in cut(text))
        column = np.array(sorted(counts), dtype=np.intp)
        value = np.log(np.array([counts[i] for i in column.tolist()], dtype=np.float32)) + np.float32(1)
        value *= idf[column]
        if len(value):
            # The squares are rounded and added one after the other, as scikit-learn does it.
            value /= np.sqrt(np.square(value).cumsum(dtype=np.float64)[-1])
        columns.append(column + start)
        values.append(value)
        start += len(idf)
    places, sizes = np.concatenate(columns), np.concatenate(values)
    own = _summed(weights[places], sizes)
    return own, None if folded is None else _summed(folded[places & (len(folded) - 1)], sizes)


def _summed(weights: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    products = weights * values[:, None]
    # SciPy adds one row after the other; `sum` would add pairs where there is one label.
    return products.cumsum(axis=0)[-1] if len(products) else np.zeros(weights.shape[1], dtype=np.float32)


def weigh_words(
    text: str,
    characters: Cut,
    pattern: re.Pattern[str],
    lengths: tuple[int, int],
    idf: Sequence[NDArray[np.float64]],
    weights: NDArray[np.float32],
) -> tuple[list[str], NDArray[np.float64]]:
    """The words of a text, and each one's part of the sum that `weigh` gives: [words, labels].

    An n-gram of characters belongs to its word. An n-gram of words belongs to each of its words in equal parts. A
    bucket belongs to the n-grams in it in equal parts, as often as they occur.

    Args:
        text: repaired and masked, in lower case.
        characters: cuts a word into n-grams of characters.
        pattern: matches the words that n-grams of words are made of.
        lengths: least and greatest number of words in an n-gram of words.
        idf: inverse document frequencies of the character block and of the word block.
        weights: [buckets of both blocks, labels].
    """
    character_idf, word_idf = idf
    spans = [match.span() for match in _WORD.finditer(text)]
    words = [text[start:end] for start, end in spans]
    parts = np.zeros((len(words), weights.shape[1]))
    own: list[tuple[str, tuple[int, ...]]] = [
        (gram, (place,)) for place, word in enumerate(words) for gram in characters(word)
    ]
    _share(own, character_idf, weights[: len(character_idf)], parts)
    tokens = [(match[0], bisect_right(spans, (match.start(), len(text))) - 1) for match in pattern.finditer(text)]
    joined = [
        (" ".join(token for token, _ in tokens[i : i + n]), tuple(place for _, place in tokens[i : i + n]))
        for n in range(lengths[0], lengths[1] + 1)
        for i in range(len(tokens) - n + 1)
    ]
    _share(joined, word_idf, weights[len(character_idf) :], parts)
    return words, parts


def _share(
    grams: Sequence[tuple[str, tuple[int, ...]]],
    idf: NDArray[np.float64],
    weights: NDArray[np.float32],
    parts: NDArray[np.float64],
) -> None:
    """Add to the parts of the words what the n-grams of one block bring."""
    columns = [bucket(gram, len(idf)) for gram, _ in grams]
    counts = Counter(columns)
    values = {column: (np.log(count) + 1) * idf[column] for column, count in counts.items()}
    length = np.sqrt(sum(value * value for value in values.values()))
    for (_, places), column in zip(grams, columns, strict=True):
        share = values[column] / length / counts[column] / len(places)
        for place in places:
            parts[place] += share * weights[column]


def character_ngrams(text: str, least: int, most: int) -> Iterator[str]:
    """The n-grams of characters within the boundaries of words, as scikit-learn's `char_wb` gives them."""
    for word in _WIDE.sub(" ", text).split():
        padded = f" {word} "
        for n in range(least, most + 1):
            yield padded[:n]
            if n >= len(padded):
                # A short word counts once, however many lengths are longer.
                break
            for first in range(1, len(padded) - n + 1):
                yield padded[first : first + n]


def word_ngrams(text: str, pattern: re.Pattern[str], least: int, most: int) -> Iterator[str]:
    """The n-grams of what a pattern matches, joined by blanks, as scikit-learn's `word` gives them."""
    words = pattern.findall(text)
    for n in range(least, most + 1):
        for first in range(len(words) - n + 1):
            yield " ".join(words[first : first + n])


def bucket(gram: str, buckets: int) -> int:
    """The bucket that scikit-learn's `FeatureHasher` puts an n-gram into.

    Args:
        gram: the n-gram.
        buckets: how many there are, a power of two.
    """
    return abs(murmur3(gram.encode())) % buckets


def murmur3(key: bytes) -> int:
    """MurmurHash3 of 32 bits with seed 0, as a signed number (Appleby 2011)."""
    whole = len(key) & ~3
    state = 0
    for start in range(0, whole, 4):
        state ^= _mixed(key[start : start + 4])
        state = ((state << 13 | state >> 19) & _32_BITS) * 5 + 0xE6546B64 & _32_BITS
    if whole < len(key):
        state ^= _mixed(key[whole:])
    state ^= len(key)
    state = (state ^ state >> 16) * 0x85EBCA6B & _32_BITS
    state = (state ^ state >> 13) * 0xC2B2AE35 & _32_BITS
    state ^= state >> 16
    return state - (1 << 32) if state >> 31 else state


def _mixed(block: bytes) -> int:
    value = int.from_bytes(block, "little") * 0xCC9E2D51 & _32_BITS
    return ((value << 15 | value >> 17) & _32_BITS) * 0x1B873593 & _32_BITS
