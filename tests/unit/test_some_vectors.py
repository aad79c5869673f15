"""Texts of which a part has a vector, or whose vectors are remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.models.artefact import TrainedModel
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearClassifier, LinearConfig, fit_linear
from pipeline.vectors.stored import AtMost, computed_once
from tests.support.trained import model_of

_CONFIG = LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=12), workers=1, encoder="signs")
# Each text has words of its own, and what its vector says decides.
_TEXTS = [f"kata{n} ayat{n * 7}" for n in range(400)]
_YES = np.arange(400) % 2 == 0
# what is asked one after the other: a text twice, no text, and texts that were asked for before
_ASKED = ([*_TEXTS[:5], _TEXTS[0]], [], _TEXTS[3:8])


def signs(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of length 1 that lie close together, as those of an encoder do, and differ by the answer."""
    sides = [1 if _YES[int(text.split()[0].removeprefix("kata"))] else -1 for text in texts]
    vectors = np.array([[0.9, 0.3 * side, 0.1] for side in sides], dtype=np.float32).reshape(-1, 3)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_only_so_many_texts_are_computed() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        return signs(texts)

    some = AtMost(encode, 5)
    parts = [some(_TEXTS[:3]), some(_TEXTS[3:9]), some(_TEXTS[9:12]), some([])]
    assert asked == _TEXTS[:5]
    assert [part.shape for part in parts] == [(3, 3), (6, 3), (3, 3), (0, 3)]
    np.testing.assert_array_equal(np.concatenate(parts)[:5], signs(_TEXTS[:5]))
    assert not np.concatenate(parts)[5:].any()
    assert some.told("") == "7 training texts without a stored vector got none"
    assert some.told("a layer stayed") == "a layer stayed; 7 training texts without a stored vector got none"
    assert AtMost(encode, 5).told("") == ""


def test_what_vectors_say_is_learnt_from_a_part_of_the_texts() -> None:
    truth = _YES[:, None].astype(np.int8)
    new = [f"kata{n} lain{n * 13}" for n in range(400)]

    def right(encode_learnt: AtMost | None) -> float:
        model = fit_linear(_TEXTS, truth, ["ya"], _CONFIG, encode=signs, encode_learnt=encode_learnt)
        return float(((model.decisions(new)[:, 0] > 0) == _YES).mean())

    assert right(AtMost(signs, 100)) == right(None) == 1.0


def test_vectors_add_nothing_where_they_say_nothing() -> None:
    """A direction that all vectors share, of which some texts have a vector, is no difference between texts."""
    truth = _YES[:, None].astype(np.int8)

    def same(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(np.array([[1, 0, 0]], dtype=np.float32), (len(texts), 1))

    with_vectors = fit_linear(_TEXTS, truth, ["ya"], _CONFIG, encode=same, encode_learnt=AtMost(same, 100))
    without = fit_linear(_TEXTS, truth, ["ya"], replace(_CONFIG, encoder=None))
    np.testing.assert_allclose(with_vectors.decisions(_TEXTS), without.decisions(_TEXTS), atol=1e-5)


def test_models_that_are_compared_compute_each_vector_once() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        return signs(texts)

    truth = _YES[:, None].astype(np.int8)
    old, new, other = (
        _with_encoder(fit_linear(_TEXTS[:rows], truth[:rows], ["ya"], _CONFIG, encode=encode), name)
        for rows, name in ((100, "signs"), (400, "signs"), (400, "others"))
    )
    plain = model_of(fit_linear(_TEXTS, truth, ["ya"], replace(_CONFIG, encoder=None)), "plain")
    compared = computed_once(old, new, other, plain)
    wanted = [[model.probabilities(texts) for texts in _ASKED] for model in (old, new, other, plain)]
    asked.clear()
    given = [[model.probabilities(texts) for texts in _ASKED] for model in compared]
    for a, b in zip(wanted, given, strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)
    # one time for the two that share an encoder, and one for the other
    assert sorted(asked) == sorted([*_TEXTS[:8], *_TEXTS[:8]])


def _with_encoder(classifier: LinearClassifier, encoder: str) -> TrainedModel:
    model = model_of(classifier, encoder)
    return replace(model, manifest=model.manifest.model_copy(update={"encoder": encoder}))
