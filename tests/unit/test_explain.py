"""Which words moved a verdict: exact for a linear model, by leaving words out for others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.artefact import LabelSettings, TrainedModel
from pipeline.models.explain import explain
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearClassifier, LinearConfig, fit_linear
from tests.support import trained

_TEXTS = [
    "cerita lucah cabul",
    "lucah betul gambar",
    "tumbuk muka dia",
    "pukul dan tumbuk",
    "pasar malam sedap",
    "jom makan",
]
_TRUTH = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0]], dtype=np.int8)


def fitted(encode: Any = None) -> LinearClassifier:
    config = LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1, encoder="e" if encode else None)
    return fit_linear(_TEXTS, _TRUTH, ("porn", "violence"), config, encode=encode)


@pytest.fixture(scope="module")
def linear() -> LinearClassifier:
    return fitted()


def model_of(classifier: Any) -> TrainedModel:
    labels = (
        LabelSettings(key="porn", slope=2.0, offset=-0.5, threshold=0.5),
        LabelSettings(key="violence", slope=0.7, offset=0.1, threshold=0.5),
    )
    return trained.model_of(classifier, "m-1", labels=labels)


@pytest.mark.parametrize(
    "text",
    [
        "Gambar LUCAH tu, lucah lucah!!",
        "jangan  tumbuk\ndia <user> 😀😀 b o d o h",
        "",
        "   ",
        "x",
        "I\u0307stanbul kelihatan ｆｕｌｌwidth",
    ],
)
def test_the_parts_of_a_linear_model_add_up_to_its_decisions(linear: LinearClassifier, text: str) -> None:
    words, parts, rest = linear.parts(text)
    assert parts.shape == (len(words), 2)
    np.testing.assert_allclose(parts.sum(axis=0) + rest, linear.decisions([text])[0], atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_whatever_the_text_the_parts_add_up(text: str) -> None:
    linear = _kept()
    _, parts, rest = linear.parts(text)
    np.testing.assert_allclose(parts.sum(axis=0) + rest, linear.decisions([text])[0], atol=5e-6)


@cache
def _kept() -> LinearClassifier:
    return fitted()


def test_vectors_are_in_the_rest() -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.array([[len(text) % 3, 1.0] for text in texts], dtype=np.float32)

    model = fitted(encode)
    _, parts, rest = model.parts("gambar lucah")
    np.testing.assert_allclose(parts.sum(axis=0) + rest, model.decisions(["gambar lucah"])[0], atol=2e-6)


def test_the_calibrated_verdict_is_explained_in_log_odds(linear: LinearClassifier) -> None:
    explained = explain(model_of(linear), "gambar lucah di pasar")
    assert explained.exact
    odds = explained.parts.sum(axis=0) + explained.rest
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), explained.probabilities, atol=1e-6)
    assert explained.words[int(explained.parts[:, 0].argmax())] == "lucah"


class Counting:
    """A classifier that is no sum over words: it looks for two words together."""

    backend = "transformers"
    labels = ("porn", "violence")

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def decisions(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        return np.array([[2.0 if {"gambar", "lucah"} <= set(text.split()) else -1.0, 0.0] for text in texts])

    def state(self) -> dict[str, Any]:
        return {}

    def write(self, folder: Path) -> None:
        raise AssertionError(folder)


def test_of_another_model_a_part_is_what_is_lost_without_the_word() -> None:
    counting = Counting()
    explained = explain(model_of(counting), "ini gambar lucah dia")
    assert not explained.exact
    assert explained.words == ("ini", "gambar", "lucah", "dia")
    assert explained.parts[:, 0].tolist() == [0, 6, 6, 0]
    assert explained.parts[:, 1].tolist() == [0, 0, 0, 0]
    # the verdict, and all words left out in one batch
    assert [len(batch) for batch in counting.asked] == [1, 5]


def test_a_long_text_asks_about_so_many_parts_and_no_more() -> None:
    counting = Counting()
    explained = explain(model_of(counting), " ".join(f"kata{i}" for i in range(1_000)) + " gambar lucah", most=20)
    assert len(explained.words) == 20
    assert len(counting.asked[1]) == 21
    assert " ".join(explained.words).split()[-1] == "lucah"
    assert explain(model_of(Counting()), "").words == ()
