"""A few texts are weighed without scikit-learn, and get the same numbers as with it, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.utils import murmurhash3_32

from pipeline.models.features import NgramConfig, Ngrams
from pipeline.models.few_texts import murmur3
from pipeline.models.plain_arrays import NotPlainError, read_plain

_CONFIG = NgramConfig(char_bits=9, word_bits=8)
_TEXTS = (
    "saya suka durian",
    "TAK suka durian!!! :( <url>",
    "  a   bb\tccc\n\ndddd  ",
    "ß İstanbul ﬁ 😂😂 中文",
    "...",
    "x",
    "",
    " ",
)


def ngrams() -> Ngrams:
    """N-grams that know how rare each bucket is."""
    made = Ngrams(_CONFIG)
    made.fit([*_TEXTS, "durian runtuh di kampung"])
    return made


def weights(labels: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(ngrams().buckets, labels)).astype(np.float32)


@pytest.mark.parametrize("labels", [1, 2, 11])
@pytest.mark.parametrize("text", _TEXTS)
def test_a_text_alone_weighs_what_it_weighs_among_others(text: str, labels: int) -> None:
    alone = ngrams().weigh([text], weights(labels))
    assert alone.shape == (1, labels)
    assert np.array_equal(alone, ngrams().transform([text]) @ weights(labels))


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=3))
def test_any_text_alone_weighs_what_it_weighs_among_others(texts: list[str]) -> None:
    alone = np.concatenate([_NGRAMS.weigh([text], _WEIGHTS) for text in texts])
    assert np.array_equal(alone, _NGRAMS.transform(texts) @ _WEIGHTS)


@given(st.binary(max_size=40))
def test_the_hash_is_that_of_scikit_learn(key: bytes) -> None:
    assert murmur3(key) == murmurhash3_32(key)


def test_plain_values_and_arrays_are_read_as_skops_reads_them(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "names": ["a", "b"],
        "range": (1, 2),
        "nothing": None,
        "rate": 0.3,
        "sure": True,
        "array": np.eye(3),
    }
    skops.io.dump(state, tmp_path / "state.skops")
    loaded = read_plain(tmp_path / "state.skops")
    assert np.array_equal(loaded.pop("array"), state.pop("array"))
    assert loaded == state


@pytest.mark.parametrize(
    "value",
    [np.array([object()]), {1: "a"}, np.float64, {"set": {1}}],
    ids=("objects", "a key that is no string", "a type", "a set"),
)
def test_what_is_not_plain_is_left_to_skops(tmp_path: Path, value: object) -> None:
    path = tmp_path / "state.skops"
    path.write_bytes(skops.io.dumps({"value": value}))
    with pytest.raises(NotPlainError):
        read_plain(path)


_NGRAMS, _WEIGHTS = ngrams(), weights(3)
