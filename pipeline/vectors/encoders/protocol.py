"""The interface of encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors of those texts that have one, and the reasons why others have none."""

    #: places of the encoded texts, in order
    places: Sequence[int]
    #: their vectors, [len(places), dimension], each of Euclidean length 1
    vectors: Vectors
    #: the reason of each other text, by its place
    failed: Mapping[int, str] = field(default_factory=dict)


@runtime_checkable
class PartialEncoder(Protocol):
    """An encoder of which one text can fail, and the others still get their vectors."""

    def encode_some(self, texts: Sequence[str]) -> Encoded:
        """Encode any number of texts.

        Raises:
            EncoderError: no text can be encoded.
        """
        ...


def unit(vectors: Vectors) -> Vectors:
    """Scale vectors of shape [n, dimension] to Euclidean length 1; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
