"""Repair, normal form and id of texts."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid

import ftfy

_CONFIG = ftfy.TextFixerConfig(
    # People type curly quotes and wide letters on purpose, so only damage is repaired.
    uncurl_quotes=False,
    fix_character_width=False,
    fix_latin_ligatures=False,
    normalization="NFC",
)
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")


def repair(text: str) -> str:
    """Repair damaged encoding (ftfy), remove control characters, normalise to NFC, and join blanks; lines are kept."""
    if not text.isascii() or "&" in text:
        # ftfy repairs line by line, but does not take a lone carriage return for the end of one
        text = ftfy.fix_text(text.replace("\r\n", "\n").replace("\r", "\n"), config=_CONFIG)
    else:
        text = "".join(c for c in text if c >= " " or c in "\n\t\r") if not text.isprintable() else text
    if "  " in text or not text.isprintable():
        text = _LINES.sub("\n", _BLANKS.sub(" ", text))
    return text.strip()


def text_key(text: str) -> bytes:
    """The key of a text: 128-bit BLAKE2b of its NFC form with every run of whitespace as one blank."""
    collapsed = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.blake2b(collapsed.encode("utf-8"), digest_size=16).digest()


def text_id(text: str) -> uuid.UUID:
    """The id of a text in the store: its `text_key` as a UUID."""
    return uuid.UUID(bytes=text_key(text))
