"""What comes from outside is cut or refused before anything else looks at it."""

from __future__ import annotations

import pytest

from pipeline.texts.labelled_files import clean
from pipeline.texts.limits import MAX_RAW_TEXT, MAX_TEXT, cut
from pipeline.texts.prepare import Options, prepare
from pipeline.texts.readers import Format


@pytest.mark.parametrize(
    ("text", "most", "beginning"),
    [
        ("satu dua", 20, "satu dua"),
        ("satu dua", 8, "satu dua"),
        ("hubungi 0120001234 ya", 12, "hubungi"),
        ("hubungi 0120001234 ya", 18, "hubungi 0120001234"),
        ("satu\ndua tiga", 6, "satu"),
        ("aaaaaaaaaa", 4, "aaaa"),
        ("", 4, ""),
    ],
)
def test_a_text_is_cut_at_a_blank(text: str, most: int, beginning: str) -> None:
    assert cut(text, most) == beginning


def test_a_number_at_the_end_of_what_is_looked_at_is_not_shown_in_part() -> None:
    before = "saya " * (MAX_TEXT // 5 - 1)
    assert "0120" not in clean(before + "0120001234 " + "lagi " * 1_000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a" * (MAX_TEXT + 1), "text too long"),
        ("saya " * 200_000, "text too long"),
        ("@" * 600_000, "text too long"),
        ("saya" + " " * (MAX_RAW_TEXT - 8) + "kamu", None),
    ],
)
def test_a_text_that_is_too_long_is_refused_and_blanks_do_not_count(text: str, reason: str | None) -> None:
    prepared = prepare([1], [{"text": text}], path="p", name="p", options=Options(Format.JSONL))
    assert [reject.reason for reject in prepared.rejects] == ([reason] if reason else [])
