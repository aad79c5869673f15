"""Progress reports: a stage calls a function with its progress, and the caller decides what to show."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A function that a stage calls as it advances."""

    def __call__(self, finished: int, total: int | None, what: str, note: str = "", /) -> None:
        """Report that `finished` of `total` units (None: unknown) are finished.

        Args:
            finished: units that are finished.
            total: units in all; None: unknown.
            what: the name of the units, in the plural.
            note: figures of the work, such as a loss or a price.
        """


def silent(finished: int, total: int | None, what: str, note: str = "", /) -> None:
    """Report nothing."""
