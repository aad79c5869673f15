"""What the big store is drawn from: how often each label is true, how raters err, and where vectors lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Vectors, unit

#: how often each label is the first one of a text; what the taxonomy has beyond these is as rare as the rarest
_SHARES = {
    "safe for work": 0.70,
    "informative": 0.06,
    "hate": 0.06,
    "harassment": 0.05,
    "violence": 0.03,
    "porn": 0.025,
    "racist": 0.02,
    "sexist": 0.015,
    "religion insult": 0.012,
    "self-harm": 0.012,
}
_RAREST = 0.01
#: the last part of the time, in which English and hate are more common and vectors lie elsewhere
CHANGED_FROM = 0.9
_DAYS = 42
#: how far apart the labels' centres are, the least and most spread around them, and how far the late ones moved
_APART, _SPREAD, _MOVED = 0.9, (0.6, 2.4), 0.25


@dataclass(frozen=True)
class World:
    """The taxonomy in numbers. Sets of labels are bits of an integer, the first label the lowest."""

    taxonomy: Taxonomy
    seed: int
    now: datetime
    dimension: int
    keys: tuple[str, ...] = field(init=False)
    #: bits of the labels that are not benign
    harsh: int = field(init=False)
    centres: Vectors = field(init=False)
    moved: Vectors = field(init=False)

    def __post_init__(self) -> None:
        keys = tuple(self.taxonomy.keys)
        rng = np.random.default_rng(self.seed)
        own = unit(rng.normal(size=(len(keys) + 2, self.dimension)).astype(np.float32))
        object.__setattr__(self, "keys", keys)
        object.__setattr__(
            self, "harsh", sum(1 << i for i, label in enumerate(self.taxonomy.labels) if not label.benign)
        )
        object.__setattr__(self, "centres", unit(own[:-2] * _APART + own[-2]))
        object.__setattr__(self, "moved", own[-1] * _MOVED)

    def bits(self, labels: Sequence[str]) -> int:
        """Labels as bits."""
        return sum(1 << self.keys.index(label) for label in labels)

    def names(self, bits: int) -> tuple[str, ...]:
        """Bits as labels."""
        return tuple(key for i, key in enumerate(self.keys) if bits >> i & 1)

    def at(self, part: float) -> datetime:
        """A moment, from the first (0) to the last (1)."""
        return self.now - timedelta(days=_DAYS * (1 - part))

    def first_labels(self, rng: np.random.Generator, parts: NDArray[np.float64]) -> NDArray[np.int64]:
        """The first label of texts of these moments, as numbers."""
        shares = np.array([_SHARES.get(key, _RAREST) for key in self.keys])
        late = shares * np.where(np.array(self.keys) == "hate", 2.5, 1.0)
        count = len(parts)
        early_drawn = rng.choice(len(self.keys), count, p=shares / shares.sum())
        late_drawn = rng.choice(len(self.keys), count, p=late / late.sum())
        return np.where(parts > CHANGED_FROM, late_drawn, early_drawn)

    def truths(self, rng: np.random.Generator, first: NDArray[np.int64]) -> NDArray[np.int64]:
        """All labels of texts, as bits: harsh ones sometimes come with another harsh one."""
        bits = np.left_shift(1, first)
        others = np.array([i for i in range(len(self.keys)) if self.harsh >> i & 1])
        second = np.left_shift(1, others[rng.integers(0, len(others), len(first))])
        both = (bits & self.harsh != 0) & (rng.random(len(first)) < 0.12)
        return np.where(both, bits | second, bits)

    def said(self, rng: np.random.Generator, truths: NDArray[np.int64], errors: float) -> NDArray[np.int64]:
        """What a rater with this share of errors says of them."""
        other = self.truths(rng, self.first_labels(rng, np.zeros(len(truths))))
        return np.where(rng.random(len(truths)) < errors, other, truths)

    def languages(self, rng: np.random.Generator, parts: NDArray[np.float64]) -> NDArray[np.int64]:
        """The languages of texts of these moments, as numbers in `words.LANGUAGES`."""
        early = rng.choice(4, len(parts), p=[0.55, 0.27, 0.16, 0.02])
        late = rng.choice(4, len(parts), p=[0.42, 0.42, 0.14, 0.02])
        return np.where(parts > CHANGED_FROM, late, early)

    def vectors(self, rng: np.random.Generator, first: NDArray[np.int64], parts: NDArray[np.float64]) -> Vectors:
        """Unit vectors near the centres of the first labels, [texts, dimension]."""
        noise = rng.standard_normal((len(first), self.dimension), dtype=np.float32)
        noise *= (rng.uniform(*_SPREAD, len(first)) / np.sqrt(self.dimension)).astype(np.float32)[:, None]
        noise += self.centres[first]
        noise[parts > CHANGED_FROM] += self.moved
        return unit(noise)
