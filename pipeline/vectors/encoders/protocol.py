"""The interface of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """An encoder turns texts into vectors of length 1."""

    #: name of the space; vectors of different names are never compared
    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Encode any number of texts: vectors of shape [len(texts), dimension], each of Euclidean length 1."""
        ...


def unit(vectors: Vectors) -> Vectors:
    """Scale vectors of shape [n, dimension] to Euclidean length 1; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
