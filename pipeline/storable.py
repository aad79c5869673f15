"""Texts as PostgreSQL can store them."""

from __future__ import annotations


def storable(text: str, longest: int | None = None) -> str:
    """A text without zero bytes, and with a question mark in place of each lone surrogate: PostgreSQL stores neither.

    Args:
        text: any text.
        longest: characters that are kept; None: all.
    """
    return text[:longest].replace("\0", "").encode("utf-8", "replace").decode()
