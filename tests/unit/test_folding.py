"""One spelling for the many spellings of a word: in features and near-duplicates, not in what is stored."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.models.features import NgramConfig
from pipeline.models.folding import NEWEST, NONE, fold
from pipeline.models.linear import LinearClassifier, LinearConfig, fit_linear, restore_linear
from pipeline.texts.labelled_files import clean
from pipeline.texts.masking import PLACEHOLDER
from pipeline.texts.near_duplicates import level
from pipeline.texts.normalise import readable, repair, text_key

_PLAIN = "kau ni memang bodoh dan menyusahkan semua orang kat sini"
_LABEL = "harassment"


def _between(sign: str) -> str:
    return _PLAIN.replace("bodoh", sign.join("bodoh")).replace("menyusahkan", "menyu" + sign + "sahkan")


def _styled(first: str) -> str:
    return "".join(chr(ord(first) + ord(c) - ord("a")) if c in "bodh" else c for c in _PLAIN)


_EVASIONS = {
    "zero-width space": _between("\u200b"),
    "zero-width non-joiner": _between("\u200c"),
    "soft hyphen": _between("\u00ad"),
    "word joiner": _between("\u2060"),
    "right-to-left mark": _between("\u200f"),
    "byte order mark": _between("\ufeff"),
    "variation selector": _between("\ufe0f"),
    "strokes": _PLAIN.replace("bodoh", "b\u0336o\u0336d\u0336o\u0336h\u0336"),
    "piled marks": _PLAIN.replace("o", "o\u0301\u0323\u0308"),
    "digits": _PLAIN.replace("bodoh", "b0d0h").replace("menyusahkan", "m3nyus4hkan"),
    "signs for letters": _PLAIN.replace("menyusahkan", "menyu$4hk@n").replace("bodoh", "bod0h"),
    "blanks": _PLAIN.replace("bodoh", "b o d o h").replace("menyusahkan", " ".join("menyusahkan")),
    "points": _PLAIN.replace("bodoh", "b.o.d.o.h").replace("menyusahkan", "menyu*sahkan"),
    "hyphens by two": _PLAIN.replace("bodoh", "bo-do-h"),
    "stretched": _PLAIN.replace("bodoh", "bodohhhhh").replace("menyusahkan", "menyusahkaaaan"),
    "capitals": _PLAIN.upper(),
    "Cyrillic": _PLAIN.replace("o", "о").replace("a", "а").replace("e", "е"),
    "Greek capitals": _PLAIN.upper().replace("O", "Ο").replace("H", "Η").replace("B", "Β"),
    "small capitals": _PLAIN.replace("bodoh", "ʙᴏᴅᴏʜ"),
    "bold": _styled("𝐚"),
    "script": _styled("𝓪"),
    "circled": _styled("ⓐ"),
    "dark squares": _PLAIN.replace("bodoh", "🅱🅾🅳🅾🅷"),
    "wide": _styled("ａ"),
    "tags": _PLAIN.replace("bodoh", "bo<b>do</b>h").replace(" semua", "<br>semua"),
    "comment": _PLAIN.replace("bodoh", "bo<!-- x -->doh"),
    "entities": _PLAIN.replace("bodoh", "b&#111;d&#x6f;h<br>"),
}


@cache
def trained(version: str) -> LinearClassifier:
    """A model of harassment against everyday texts, from the demo corpus."""
    rows = []
    for name in ("harassment", "everyday", "benign-hard", "informative"):
        lines = files("saring.demo").joinpath("corpus", f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        rows += [(clean(json.loads(line)["text"]), name == _LABEL) for line in lines]
    truth = np.array([[is_it] for _, is_it in rows], dtype=np.int8)
    config = LinearConfig(ngrams=NgramConfig(char_bits=14, word_bits=13), workers=1, fold=version)
    return fit_linear([text for text, _ in rows], truth, (_LABEL,), config)


def score(model: LinearClassifier, text: str) -> float:
    """The probability with a slope that makes the plain text's clear: a tenth of it is a strict bound."""
    return float(1 / (1 + np.exp(-3 * model.decisions([clean(text)])[0, 0] - 1)))


@pytest.mark.parametrize("name", _EVASIONS)
def test_evasion_costs_at_most_a_tenth_of_the_score(name: str) -> None:
    model = trained(NEWEST)
    plain = score(model, _PLAIN)
    assert score(model, _EVASIONS[name]) >= 0.9 * plain
    assert plain > 0.5


def test_without_a_fold_evasion_costs_more() -> None:
    model = trained(NONE)
    plain = score(model, _PLAIN)
    assert sum(score(model, text) < 0.9 * plain for text in _EVASIONS.values()) >= len(_EVASIONS) // 2


@pytest.mark.parametrize("name", [name for name in _EVASIONS if name not in ("blanks", "stretched")])
def test_an_odd_spelling_is_a_near_duplicate_of_the_plain_one(name: str) -> None:
    assert level(clean(_EVASIONS[name])) == level(clean(_PLAIN))


@pytest.mark.parametrize("name", ["zero-width space", "bold", "Cyrillic", "tags", "points"])
def test_what_is_stored_stays_as_typed_and_keeps_its_key(name: str) -> None:
    typed = _EVASIONS[name]
    assert repair(typed) == typed
    assert text_key(typed) != text_key(_PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        "kawan-kawan pergi ke pasar, beli ikan 2 ekor",
        "covid19 b40 5g 2x kawan2 a4",
        "akhir ayat.mula ayat baru",
        "maaf, saat itu dia taat",
        "#kitajaga_kita di rumah".replace("_", ""),
        "<user> tanya <phone> dan <url>, <account> <plate> <id>",
        "سلامت ڤاݢي سموا",
        "வணக்கம் நண்பா",
        "我们都很好 😀 👍🏽",
        "sayang <3 korang & semua",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert fold(text) == text


@given(st.lists(st.sampled_from((*_EVASIONS.values(), "<user>", "<url>", " hai ", "b0", "a.b", "&lt;", "<!--", "-->"))))
def test_placeholders_survive_and_capitals_go(parts: list[str]) -> None:
    text = " ".join(parts)
    folded = fold(text)
    assert folded == folded.casefold()
    if "<!--" not in text:
        assert PLACEHOLDER.findall(folded) == PLACEHOLDER.findall(text)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Sayang korang <3 jumpa esok &amp; bawa payung", "Sayang korang <3 jumpa esok & bawa payung"),
        ("Marah<br>betul &#128545; &amp;amp; lagi", "Marah<br>betul 😡 & lagi"),
        ("Ayam & ikan", "Ayam & ikan"),
        ("hubungi <b>ali&#64;contoh.com</b>", "hubungi <b><email></b>"),
    ],
)
def test_entities_beside_an_angle_bracket_are_decoded_where_people_read(typed: str, shown: str) -> None:
    assert clean(typed) == shown
    assert clean(clean(typed)) == shown
    assert text_key(repair(typed)) == text_key(typed)
    assert readable("tiada & di sini") == "tiada & di sini"


def test_a_model_from_before_the_fold_gives_the_scores_that_it_gave() -> None:
    before = trained(NONE)
    state = {name: value for name, value in before.state().items() if name != "fold"}
    again = restore_linear(state)
    texts = [clean(text) for text in (_PLAIN, *_EVASIONS.values())]
    np.testing.assert_array_equal(again.decisions(texts), before.decisions(texts))
    assert (again.decisions(texts) != trained(NEWEST).decisions(texts)).any()


def test_a_fold_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="fold-99"):
        restore_linear({**trained(NEWEST).state(), "fold": "fold-99"})
