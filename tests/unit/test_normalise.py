"""One spelling and one identity for one text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.texts.normalise import repair, text_id, text_key

_BLANK = st.sampled_from((" ", "\n", "\t", "  ", "\r\n", "\u00a0", "\u3000", " \n "))
words = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=8)


@given(st.text())
@example("&amp;amp;lt;b")
@example("a \x00 b\x07")
@example("a \n \n b")
@example("\ufeffa")
@example("e\u0301\n\u0301")
@example("\r\u00c2\u00a00")
def test_repairing_twice_changes_nothing(text: str) -> None:
    repaired = repair(text)
    assert repair(repaired) == repaired


@given(st.text())
@example("e\u0301")
@example("\u1112\u1161\u11ab")
def test_a_repaired_text_is_in_normal_form_and_tidy(text: str) -> None:
    repaired = repair(text)
    assert unicodedata.is_normalized("NFC", repaired)
    assert repaired == repaired.strip()
    assert "\0" not in repaired
    assert "  " not in repaired
    assert " \n" not in repaired
    assert "\n " not in repaired


@pytest.mark.parametrize(
    ("damaged", "mended"),
    [
        ("sedap sangat ðŸ˜€", "sedap sangat 😀"),
        ("cafÃ© &amp; roti", "café & roti"),
        ("betul\x00 ke\x07", "betul ke"),
        ("baris satu\r\n\r\n  baris dua\t\tsini ", "baris satu\nbaris dua sini"),
        ("“petikan” ＷＩＤＥ ﬁn", "“petikan” ＷＩＤＥ ﬁn"),
    ],
)
def test_damage_is_mended_and_style_is_left_alone(damaged: str, mended: str) -> None:
    assert repair(damaged) == mended


@given(st.lists(st.tuples(words, _BLANK), min_size=1, max_size=6), st.data())
def test_blanks_do_not_make_another_text(parts: list[tuple[str, str]], data: st.DataObject) -> None:
    one = "".join(word + blank for word, blank in parts)
    other = data.draw(_BLANK) + "".join(word + data.draw(_BLANK) for word, _ in parts)
    assert text_id(one) == text_id(other)


@given(st.text(st.characters(codec="utf-8")))
def test_composed_and_decomposed_letters_are_the_same_text(text: str) -> None:
    assert text_id(unicodedata.normalize("NFC", text)) == text_id(unicodedata.normalize("NFD", text))


@example("\xa0À\x86")
@example("0\xa0À\x86")
@given(st.text(st.characters(codec="utf-8")))
def test_a_repaired_text_keeps_its_identity_when_read_again(text: str) -> None:
    assert text_id(repair(repair(text))) == text_id(repair(text))


@given(words, words)
def test_other_letters_are_another_text(one: str, other: str) -> None:
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    assert (text_id(one) == text_id(other)) is same


def test_identities_stay_as_they_are_from_version_to_version() -> None:
    # stores hold them: another value here would make every text a new one
    assert str(text_id("Selamat pagi,  semua!")) == "1870e584-6100-8743-65c1-4ca8efc3c94e"
    assert text_key("Selamat pagi, semua!") == text_id("Selamat pagi, semua!").bytes


def test_more_marks_than_a_letter_can_carry_are_dropped() -> None:
    few, many = "kau\u0301\u0323" + " ini", "kau" + "\u0301\u0323" * 5_000 + " ini"
    assert repair(few) == unicodedata.normalize("NFC", few)
    assert len(repair(many)) < 45
    assert repair(many).endswith(" ini")
    assert text_key(repair(many)) == text_key(many)
