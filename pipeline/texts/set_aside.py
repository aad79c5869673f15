"""Near-duplicates of texts that are set aside, found by an index, so that the other texts may be streamed."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.texts.near_duplicates import BucketIndex, Levelled, buckets, level


class SetAside:
    """Texts that other texts are compared with. They are kept in memory, levelled; the other texts are not."""

    def __init__(self) -> None:
        self._index = BucketIndex()

    def add(self, texts: Sequence[str]) -> None:
        """Set masked texts aside."""
        levelled = [level(text) for text in texts]
        for text, its_buckets in zip(levelled, buckets(levelled), strict=True):
            self._index.add(Levelled(text), its_buckets)

    def repeated(self, texts: Sequence[str]) -> list[bool]:
        """For each masked text, True where it is a near-duplicate of a text that was set aside."""
        levelled = [level(text) for text in texts]
        return [self._repeats(Levelled(text), own) for text, own in zip(levelled, buckets(levelled), strict=True)]

    def _repeats(self, text: Levelled, its_buckets: Sequence[int]) -> bool:
        others = {other for bucket in its_buckets for other in self._index.members(bucket)}
        return any(text.is_near(other) for other in others)
