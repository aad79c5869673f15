"""Texts that are set aside, and what nearly repeats them: one look in an index, so that the others may be streamed."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.texts.near_duplicates import BucketIndex, Levelled, buckets, level


class SetAside:
    """Texts that others are held against. Keeps them in memory, levelled; what is held against them is not kept."""

    def __init__(self) -> None:
        self._index = BucketIndex()

    def add(self, texts: Sequence[str]) -> None:
        """Set masked texts aside."""
        levelled = [level(text) for text in texts]
        for text, its_buckets in zip(levelled, buckets(levelled), strict=True):
            self._index.add(Levelled(text), its_buckets)

    def repeated(self, texts: Sequence[str]) -> list[bool]:
        """Whether each masked text is a near-duplicate of one that was set aside."""
        levelled = [level(text) for text in texts]
        return [self._repeats(Levelled(text), own) for text, own in zip(levelled, buckets(levelled), strict=True)]

    def _repeats(self, text: Levelled, its_buckets: Sequence[int]) -> bool:
        others = {other for bucket in its_buckets for other in self._index.members(bucket)}
        return any(text.is_near(other) for other in others)
