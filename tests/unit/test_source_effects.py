"""Source effects: base rates of sources are kept apart from what words say, and travel with the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.measure.arrays import Booleans, LabelMatrix
from pipeline.measure.metrics import average_precision
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearClassifier, LinearConfig, fit_linear, read_linear, restore_linear
from pipeline.models.naive_bayes import even_within
from pipeline.models.source_effects import LEAST_TEXTS, NONE, number_sources

_CONFIG = LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1)
_PLACES = {"forum": "kedai", "berita": "pasar"}
#: share of the texts of a source that have the label, whatever they say
_RATES = {"forum": 0.8, "berita": 0.1}


def _texts(count: int = 600) -> tuple[list[str], LabelMatrix, list[str]]:
    """Texts whose source can be told by a word, and whose label depends on another word and on the source."""
    rng = np.random.default_rng(1)
    fillers = ["saya", "pergi", "makan", "nasi", "lagi", "esok", "petang", "kawan", "rumah", "jalan"]
    texts, answers, sources = [], [], []
    for i in range(count):
        source = "forum" if i % 2 else "berita"
        telling = rng.random() < 0.5
        chance = min(1.0, _RATES[source] + 0.2) if telling else max(0.0, _RATES[source] - 0.1)
        words = [*rng.choice(fillers, 5), _PLACES[source], *(["kasar"] if telling else [])]
        rng.shuffle(words)
        texts.append(" ".join(words))
        answers.append([int(rng.random() < chance)])
        sources.append(source)
    return texts, np.array(answers, dtype=np.int8), sources


@pytest.fixture(scope="module")
def trained() -> LinearClassifier:
    texts, truth, sources = _texts()
    return fit_linear(texts, truth, ("kasar",), _CONFIG, sources=sources)


def _part(model: LinearClassifier, word: str) -> float:
    words, parts, _ = model.parts(f"saya {word} makan")
    return float(parts[words.index(word), 0])


def test_a_word_that_only_tells_sources_apart_says_less_with_source_effects(trained: LinearClassifier) -> None:
    texts, truth, _ = _texts()
    without = fit_linear(texts, truth, ("kasar",), _CONFIG)
    apart = {name: abs(_part(model, "kedai") - _part(model, "pasar")) for name, model in _both(without, trained)}
    telling = {name: _part(model, "kasar") for name, model in _both(without, trained)}
    assert apart["with"] < apart["without"] / 2
    assert telling["with"] > 0.8 * telling["without"] > 0


def _both(without: LinearClassifier, trained: LinearClassifier) -> tuple[tuple[str, LinearClassifier], ...]:
    return ("without", without), ("with", trained)


def test_the_base_rate_of_the_source_that_a_text_reads_like_counts(trained: LinearClassifier) -> None:
    _, _, forum = trained.parts("saya makan nasi kedai esok")
    _, _, news = trained.parts("saya makan nasi pasar esok")
    assert forum[0] > news[0]


def test_words_and_the_rest_add_up_and_one_text_is_judged_like_many(trained: LinearClassifier) -> None:
    texts = ["saya makan kasar di pasar", "kawan pergi ke kedai", ""]
    many = trained.decisions(texts * 400)[:3]
    for text, decision in zip(texts, many, strict=True):
        _, parts, rest = trained.parts(text)
        np.testing.assert_allclose(parts.sum(axis=0) + rest, decision, atol=1e-5)
        np.testing.assert_array_equal(trained.decisions([text])[0], decision)


def test_a_model_is_read_back_with_its_source_effects(trained: LinearClassifier, tmp_path: Path) -> None:
    trained.write(tmp_path)
    texts = ["saya makan kasar di pasar", "kawan pergi ke kedai"]
    np.testing.assert_array_equal(read_linear(tmp_path).decisions(texts), trained.decisions(texts))


def test_a_model_from_before_there_were_source_effects_is_read(trained: LinearClassifier) -> None:
    state = {name: value for name, value in trained.state().items() if not name.startswith("source_")}
    _, _, rest = restore_linear(state).parts("saya makan kasar di pasar")
    np.testing.assert_array_equal(rest, state["intercepts"])


@pytest.mark.parametrize("change", [("source_effects", np.zeros((3, 1))), ("source_weights", np.zeros((5, 2)))])
def test_source_effects_that_do_not_fit_are_refused(
    trained: LinearClassifier, change: tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]
) -> None:
    with pytest.raises(ModelError, match="train it again"):
        restore_linear({**trained.state(), change[0]: change[1]})


def test_small_sources_and_texts_without_one_share_no_effect() -> None:
    names = ["a"] * LEAST_TEXTS + ["b"] * LEAST_TEXTS + ["c"] + [""]
    numbers, count = number_sources(names)
    assert count == 2
    assert numbers[-2:].tolist() == [NONE, NONE]
    assert set(numbers[:-2].tolist()) == {0, 1}


def test_one_source_alone_has_no_effects() -> None:
    assert number_sources(["a"] * 500) == (pytest.approx(np.full(500, NONE)), 0)


def test_answers_weigh_the_same_in_each_source_and_sources_with_one_answer_nothing() -> None:
    groups = np.array([0, 0, 0, 0, 1, 1])
    truth: Booleans = np.array([True, False, False, False, True, True])
    weights = even_within(groups, truth)
    assert weights[:1].sum() == pytest.approx(weights[1:4].sum())
    assert not weights[4:].any()


def test_texts_are_ranked_within_sources_as_well_as_before() -> None:
    texts, truth, sources = _texts(1200)
    learnt, held = slice(0, 800), slice(800, None)
    model = fit_linear(texts[learnt], truth[learnt], ("kasar",), _CONFIG, sources=sources[learnt])
    plain = fit_linear(texts[learnt], truth[learnt], ("kasar",), _CONFIG)
    news = np.array([source == "berita" for source in sources[held]])
    answers = truth[held][news, 0] == 1
    ranked = [average_precision(found.decisions(texts[held])[news, 0], answers) for found in (model, plain)]
    assert ranked[0] > ranked[1] - 0.05
    assert ranked[0] > 1.3 * answers.mean()
