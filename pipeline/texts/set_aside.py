"""Whether a text nearly repeats one that is set aside: one look in an index, so that the others may be streamed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pipeline.texts.near_duplicates import SIMILAR, buckets, jaccard, level, shingles

#: texts of one bucket that are compared with
_COMPARED = 50


class SetAside:
    """Texts that others are held against. Keeps them in memory, levelled; what is held against them is not kept."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._buckets: dict[int, list[int]] = defaultdict(list)

    def add(self, texts: Sequence[str]) -> None:
        """Set masked texts aside."""
        levelled = [level(text) for text in texts]
        for text, found in zip(levelled, buckets(levelled), strict=True):
            for bucket in found:
                self._buckets[bucket].append(len(self._texts))
            self._texts.append(text)

    def repeated(self, texts: Sequence[str]) -> list[bool]:
        """Whether each masked text is a near-duplicate of one that was set aside."""
        levelled = [level(text) for text in texts]
        return [self._repeats(text, found) for text, found in zip(levelled, buckets(levelled), strict=True)]

    def _repeats(self, levelled: str, found: Sequence[int]) -> bool:
        others = {other for bucket in found for other in self._buckets.get(bucket, ())[:_COMPARED]}
        if not others:
            return False
        grams = shingles(levelled)
        return any(
            levelled == self._texts[other] or jaccard(grams, shingles(self._texts[other])) >= SIMILAR
            for other in others
        )
