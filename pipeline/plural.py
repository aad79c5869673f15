"""Counts in sentences: "1 text", "2 texts"."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """The count with its noun in the right number.

    Args:
        count: the number of things.
        noun: the word for one thing.
        plural: the word for several; None: the noun with an "s".
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
