"""Reader of the answers of ``POST /embeddings``: a vector for each text, or the reason why there is none.

Numbers are read in double precision, as a model's may be larger than single precision holds.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: the vector of a text, of any length; or the reason why it has none
Row = NDArray[np.float32] | str
#: numbers are scaled where the largest one is out of this range
_SMALLEST, _LARGEST = 1e-15, 1e15


class UnreadableError(ValueError):
    """The embeddings server's answer does not have the form of OpenAI's /embeddings"""


class WrongCountError(ValueError):
    """There are more or fewer vectors than texts; the message is their number."""


class UnclearOrderError(ValueError):
    """It is not clear which vector is of which text."""


def read_rows(document: object, texts: int, dimension: int) -> list[Row]:
    """The rows of a request, in the order of its texts.

    Args:
        document: the answer's JSON.
        texts: number of texts in the request.
        dimension: numbers in each vector; 0: not known yet.

    Raises:
        UnreadableError: the answer has another form.
        WrongCountError: it has more or fewer vectors than there are texts.
        UnclearOrderError: it does not say which vector is of which text.
    """
    # Some servers give the list itself.
    items = document.get("data") if isinstance(document, dict) else document
    if not isinstance(items, list) or not all(isinstance(item, dict) and "embedding" in item for item in items):
        raise UnreadableError(UnreadableError.__doc__)
    if len(items) != texts:
        raise WrongCountError(str(len(items)))
    arrays = [_numbers(item["embedding"]) for item in _in_order(items)]
    if arrays and all(row is None for row in arrays):
        raise UnreadableError(UnreadableError.__doc__)
    return [_checked(row, dimension) for row in arrays]


def _in_order(items: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    places = [item.get("index") for item in items]
    if all(place is None for place in places):
        return items
    if len(items) == 1:
        return items
    by_place = {place: item for place, item in zip(places, items, strict=True) if type(place) is int}
    if by_place.keys() != set(range(len(items))):
        raise UnclearOrderError
    return [by_place[place] for place in range(len(items))]


def _numbers(embedding: object) -> NDArray[np.float64] | None:
    """An embedding as numbers; base64 is decoded as little-endian single precision. None: it is neither.

    Raises:
        UnreadableError: it is a vector for each token.
    """
    if isinstance(embedding, str):
        try:
            return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4").astype(np.float64)
        except (binascii.Error, ValueError):
            return None
    if isinstance(embedding, list) and embedding and all(isinstance(part, list) for part in embedding):
        if len(embedding) > 1:
            raise UnreadableError(
                "the embeddings server gives a vector for each token, not for each text: start it with pooling, such "
                "as --pooling mean"
            )
        embedding = embedding[0]
    if not isinstance(embedding, list):
        return None
    if not all(part is None or (isinstance(part, int | float) and not isinstance(part, bool)) for part in embedding):
        return None
    try:
        return np.array([np.nan if part is None else part for part in embedding], dtype=np.float64)
    except OverflowError:
        return np.full(len(embedding), np.inf)


def _checked(row: NDArray[np.float64] | None, dimension: int) -> Row:
    if row is None or not len(row):
        return "the server gave something else than numbers"
    if not np.isfinite(row).all():
        return "the server gave numbers that are not finite"
    if dimension and len(row) != dimension:
        return f"the server now gives {len(row)} dimensions, not {dimension}: it may have another model under that name"
    largest = np.abs(row).max()
    if largest == 0:
        return "the server gave only zeros"
    # Squares of larger or smaller numbers are not in the range of single precision.
    return np.asarray(row if _SMALLEST < largest < _LARGEST else row / largest, dtype=np.float32)
