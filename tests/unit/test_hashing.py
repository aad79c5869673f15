"""Texts that are counted with words kept from before get the counts that scikit-learn gives them."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer

from pipeline.models.hashing import count_characters, count_words

_WORDS = r"<\w+>|\w+|[^\w\s]+"
_any = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)
_usual = st.lists(st.sampled_from(["suka", "TAK", "durian", ":(", "a", "ß", "İ", "x" * 50, "\u3000"])).map(" ".join)


@given(st.lists(st.one_of(_any, _usual), min_size=1, max_size=5))
def test_the_counts_are_those_of_scikit_learn(texts: list[str]) -> None:
    lowered = [text.lower() for text in texts]
    ours = (count_characters(lowered, (3, 5), 1 << 9), count_words(lowered, re.compile(_WORDS), (1, 2), 1 << 8))
    options = (
        {"analyzer": "char_wb", "ngram_range": (3, 5), "n_features": 1 << 9},
        {"analyzer": "word", "ngram_range": (1, 2), "n_features": 1 << 8, "token_pattern": _WORDS},
    )
    for counts, option in zip(ours, options, strict=True):
        theirs = HashingVectorizer(alternate_sign=False, norm=None, dtype=np.float32, **option).transform(texts)
        assert counts.shape == theirs.shape
        assert counts.dtype == theirs.dtype
        for part in ("data", "indices", "indptr"):
            assert np.array_equal(getattr(counts, part), getattr(theirs, part)), part
