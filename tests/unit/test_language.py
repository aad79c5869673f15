"""The language of short posts, as Malaysians write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.texts.language import DetectedLanguage, MarkerDetector
from pipeline.texts.masking import bare, mask, words

_DETECTOR = MarkerDetector()


@pytest.fixture
def detector() -> MarkerDetector:
    return _DETECTOR


@pytest.mark.parametrize(
    ("text", "language"),
    [
        # Malay, in full and in short forms
        ("Kerajaan Malaysia akan mengumumkan bantuan tunai kepada rakyat pada hari Isnin.", "ms"),
        ("korang ni mmg x reti nak beratur ke", "ms"),
        ("Tak boleh jadi lah mcm ni, awak kena tengok dulu", "ms"),
        ("sila datang ke kaunter untuk mendapatkan borang permohonan", "ms"),
        # Indonesian
        ("Gue nggak ngerti kenapa dia bisa kayak gitu sih", "id"),
        ("Pemerintah Indonesia menaikkan harga bahan bakar karena anggaran", "id"),
        ("kamu kok gak bilang dari kemarin, aku kan pengen ikut", "id"),
        # English
        ("I can't believe they would do this to us", "en"),
        ("the weather is really nice today", "en"),
        # both at once
        ("I really think you should not do that because nanti dia marah, awak tahu kan", "ms-en"),
        # scripts that say it all
        ("今天天气很好", "zh"),
        ("ありがとうございます", "ja"),
        ("வணக்கம் நண்பர்களே", "ta"),
        ("สวัสดีครับ", "th"),
        ("안녕하세요 여러분", "ko"),
        ("नमस्ते दोस्तों", "hi"),
        ("السلام عليكم يا أصدقاء", "ar"),
        # Jawi, with letters of its own, with common words only, and in other forms of the same letters
        ("اڤ خبر سموا", "ms"),
        ("چوبا ليهت بوکو ايت", "ms"),
        ("ساي دان اکو سوک ماکن ناسي", "ms"),
        ("دي ماره کران تيدق سديه", "ms"),
        ("کامو بودوه", "ms"),
        ("كامو سوك مينوم اير", "ms"),
        ("تريما کاسيه", "ms"),
        ("الله سلامتکن کيت سموا دري سوسه", "ms"),
        # its neighbours in the same script
        ("هذا الطعام لذيذ جدا", "ar"),
        ("كتاب جديد في السوق", "ar"),
        ("این کتاب خیلی خوب است", "ar"),
        ("من در خانه هستم", "ar"),
        ("یہ کتاب بہت اچھی ہے", "ar"),
        ("چطوری دوست من", "ar"),
        ("Привет, как дела", "ru"),
        # other languages in Latin letters
        ("Les enfants jouent dans le jardin depuis ce matin", "fr"),
        ("Hindi ko alam kung bakit ganito ang nangyari sa atin", "tl"),
    ],
)
def test_the_language_is_told(detector: MarkerDetector, text: str, language: str) -> None:
    assert detector.detect(text).language == language


@pytest.mark.parametrize("text", ["", "123 456", "!!! ???", "😀😀", "<user> <url>", "12:30 @ 5"])
def test_no_language_is_made_up_for_a_text_without_words(detector: MarkerDetector, text: str) -> None:
    assert detector.detect(mask(text)) == DetectedLanguage(None, 0.0)


def test_a_few_foreign_signs_do_not_outweigh_the_sentence(detector: MarkerDetector) -> None:
    assert detector.detect("korang tak nak makan kat kedai 大家 ke malam ni").language == "ms"


def test_a_word_in_arabic_script_does_not_outweigh_the_sentence(detector: MarkerDetector) -> None:
    assert detector.detect("I really think the weather is nice today, شكرا").language == "en"


def test_placeholders_say_nothing(detector: MarkerDetector) -> None:
    alone = detector.detect("korang nak pergi mana")
    assert detector.detect("<user> <user> <url> korang nak pergi mana <email> <phone>") == alone


def test_more_evidence_is_more_certain(detector: MarkerDetector) -> None:
    short, long = detector.detect("nak"), detector.detect("awak nak pergi kedai tak, korang boleh tengok kat sana")
    assert short.language == long.language == "ms"
    assert short.score < long.score


@given(st.text())
def test_any_text_gets_an_answer_with_a_share_of_certainty(text: str) -> None:
    found = _DETECTOR.detect(mask(text))
    assert 0 <= found.score <= 1
    assert found == _DETECTOR.detect(mask(text), words(bare(mask(text))))


@pytest.mark.parametrize(
    ("language", "languages", "inside"),
    [
        ("ms", ("ms", "id", "en"), True),
        ("fr", ("ms", "id", "en"), False),
        ("ms-en", ("en",), True),
        ("id-en", ("ms",), False),
        (None, ("ms",), True),
    ],
)
def test_a_mixture_is_in_scope_by_any_part_and_an_unknown_language_always(
    language: str | None, languages: tuple[str, ...], inside: bool
) -> None:
    assert DetectedLanguage(language, 0.5).in_scope(languages) is inside
