"""Repair, normal form and id of texts."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid

import ftfy

from pipeline.models.folding import AMPERSANDS, decode

_CONFIG = ftfy.TextFixerConfig(
    # People type curly quotes and wide letters on purpose, so only damage is repaired.
    uncurl_quotes=False,
    fix_character_width=False,
    fix_latin_ligatures=False,
    normalization="NFC",
)
#: marks that may stand on one letter (Unicode Standard Annex 15, "Stream-Safe Text Format")
_MOST_MARKS = 30
# Combining marks are among these; telling them from the rest would take a table.
_SIGNS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MOST_MARKS + 1},}}")
#: of a repair, at most: one is enough but for a few texts
_PASSES = 4
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")


def repair(text: str) -> str:
    """Repair damaged encoding (ftfy), remove control characters, normalise to NFC, and join blanks; lines are kept.

    A repaired text is left as it is by another repair.
    """
    for _ in range(_PASSES):
        before, text = text, _repair_once(text)
        # joining blanks can leave letters beside each other that ftfy then takes for damaged ones
        if text == before or text.isascii():
            break
    return text


def _repair_once(text: str) -> str:
    if not text.isascii() or "&" in text:
        if "<" not in text:
            # ftfy decodes entities here, one layer after the other
            text = AMPERSANDS.sub("&amp;", text)
        # ftfy repairs line by line, but does not take a lone carriage return for the end of one
        text = ftfy.fix_text(_with_few_marks(text).replace("\r\n", "\n").replace("\r", "\n"), config=_CONFIG)
    else:
        text = "".join(c for c in text if c >= " " or c in "\n\t\r") if not text.isprintable() else text
    if "  " in text or not text.isprintable():
        text = _LINES.sub("\n", _BLANKS.sub(" ", text))
    return text.strip()


def readable(repaired: str) -> str:
    """A repaired text as people read it: with the characters of HTML entities, which repair leaves beside a `<`.

    What is stored and the key keep the entities, since a key must not change; what is masked and shown does not.
    """
    return decode(repaired) if "<" in repaired and "&" in repaired else repaired


def text_key(text: str) -> bytes:
    """The key of a text: 128-bit BLAKE2b of its NFC form with every run of whitespace as one blank."""
    collapsed = " ".join(unicodedata.normalize("NFC", _with_few_marks(text)).split())
    return hashlib.blake2b(collapsed.encode("utf-8"), digest_size=16).digest()


def _with_few_marks(text: str) -> str:
    """The text with at most `_MOST_MARKS` marks on a letter: sorting more takes quadratic time."""
    if text.isascii() or _SIGNS.search(text) is None:
        return text
    return _SIGNS.sub(_drop_marks, text)


def _drop_marks(match: re.Match[str]) -> str:
    kept, marks = [], 0
    for sign in match[0]:
        marks = marks + 1 if unicodedata.combining(sign) else 0
        if marks <= _MOST_MARKS:
            kept.append(sign)
    return "".join(kept)


def text_id(text: str) -> uuid.UUID:
    """The id of a text in the store: its `text_key` as a UUID."""
    return uuid.UUID(bytes=text_key(text))
