"""Vectors for a model: those of the store where a text has one, computed ones for the rest, or for some of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from pipeline.models.artefact import TrainedModel
from pipeline.plural import counted
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.table import vectors_of

#: texts whose vectors are read at once
_CHUNK = 5_000


def stored_first(
    sessions: Callable[[], AbstractContextManager[Session]],
    encoder: str,
    ids: Mapping[str, uuid.UUID],
    encode: Callable[[Sequence[str]], Vectors],
) -> Callable[[Sequence[str]], Vectors]:
    """An encoding function that reads from the store what is there. Stored vectors have half precision.

    Args:
        sessions: opens a session to read with.
        encoder: the space.
        ids: the id in the store of each masked text that has one.
        encode: computes the vectors of other texts.
    """

    def encode_or_read(texts: Sequence[str]) -> Vectors:
        places: dict[uuid.UUID, list[int]] = {}
        for place, masked in enumerate(texts):
            if masked in ids:
                places.setdefault(ids[masked], []).append(place)
        parts: list[tuple[list[int], Vectors]] = []
        wanted = list(places)
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            with sessions() as session:
                rows, vectors = vectors_of(session, encoder, chunk, {name: row for row, name in enumerate(chunk)})
            for row, vector in zip(rows, vectors, strict=True):
                own = places[chunk[row]]
                parts.append((own, np.broadcast_to(vector, (len(own), len(vector)))))
        known = {place for own, _ in parts for place in own}
        others = [place for place in range(len(texts)) if place not in known]
        if others or not parts:
            parts.append((others, encode([texts[place] for place in others])))
        given = np.empty((len(texts), parts[-1][1].shape[1]), dtype=np.float32)
        for own, vectors in parts:
            given[own] = vectors
        return given

    return encode_or_read


class AtMost:
    """An encoding function that computes the first `count` texts that it is ever asked for; the rest get zeros."""

    def __init__(self, encode: Callable[[Sequence[str]], Vectors], count: int) -> None:
        self._encode, self._left = encode, count
        self._dimension: int | None = None
        #: texts that got zeros
        self.without = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        chosen = texts[: self._left]
        self._left -= len(chosen)
        self.without += len(texts) - len(chosen)
        vectors = self._encode(chosen) if chosen or self._dimension is None else self._none(0)
        self._dimension = vectors.shape[1]
        return np.concatenate([vectors, self._none(len(texts) - len(chosen))])

    def _none(self, texts: int) -> Vectors:
        return np.zeros((texts, self._dimension or 0), dtype=np.float32)

    def told(self, before: str) -> str:
        """Name in words what was left out, after what else was; empty: nothing."""
        if not self.without:
            return before
        own = f"{counted(self.without, 'training text')} without a stored vector got none"
        return f"{before}; {own}" if before else own


class _Once:
    """An encoding function that computes the vector of a text once, and remembers it."""

    def __init__(self, encode: Callable[[Sequence[str]], Vectors]) -> None:
        self._encode = encode
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> Vectors:
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new or not texts:
            vectors = self._encode(new)
            if not texts:
                return vectors
            self._known |= zip(new, vectors, strict=True)
        return np.array([self._known[text] for text in texts], dtype=np.float32)


def computed_once(*models: TrainedModel) -> list[TrainedModel]:
    """The same models, which compute the vector of a text once for all of them that share an encoder.

    They remember every vector: they are for a comparison, and not for serving.
    """
    encoders: dict[str, _Once] = {}

    def of(encoder: str) -> Callable[[Callable[[Sequence[str]], Vectors]], _Once]:
        return lambda encode: encoders.setdefault(encoder, _Once(encode))

    return [model if (name := model.manifest.encoder) is None else model.encoding(of(name)) for model in models]


def reading_in(session: Session, model: TrainedModel, ids: Mapping[str, uuid.UUID]) -> TrainedModel:
    """The same model, which reads the vectors of these texts in an open session. See `stored_first`."""
    return reading_vectors(lambda: nullcontext(session), model, ids)


def reading_vectors(
    sessions: Callable[[], AbstractContextManager[Session]], model: TrainedModel, ids: Mapping[str, uuid.UUID]
) -> TrainedModel:
    """The same model, which reads the vectors of these texts from the store. See `stored_first`."""
    encoder = model.manifest.encoder
    if encoder is None:
        return model
    return model.encoding(lambda encode: stored_first(sessions, encoder, ids, encode))
