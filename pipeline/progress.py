"""How a stage tells whoever called it how far it is, without knowing who that is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called by a stage as it advances."""

    def __call__(self, done: int, total: int | None, what: str, note: str = "") -> None:
        """`done` of `total` units (None: unknown) of `what` are finished; `note` says how it goes."""


def silent(done: int, total: int | None, what: str, note: str = "") -> None:
    """Report nothing."""
