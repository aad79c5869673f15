"""Weights of 8 bits, for serving on a CPU: a quarter of the room, and matrix products of integers.

Each row of a weight matrix has a scale of its own; inputs of a layer are quantised when they arrive, with one scale a
batch (dynamic quantisation; Jacob et al. 2018, arXiv:1712.05877). Embeddings are kept in 8 bits and looked up as
floats. The head stays in float32: it is small, and an error in it changes a score directly.

The tensors on disk are plain int8 and float32. The integer product is torch's `quantized.linear_dynamic`; where a build
of torch or a processor has none, the same weights are multiplied as floats.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer

from pipeline.errors import ModelError
from pipeline.models.training.checkpoint import set_weights, weights_of
from pipeline.models.transformer.base import new_model, quiet
from pipeline.models.transformer.classifier import TransformerClassifier
from pipeline.models.transformer.files import unreadable

#: another name than that of plain transformers, which would read the integers as weights
WEIGHTS = "model.int8.safetensors"
#: least number of rows of an embedding to be quantised: smaller ones are positions or kinds of segments
_LEAST_ROWS = 1_000


class Int8Linear(nn.Module):
    """A linear layer whose weights are integers times a scale a row."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        quantised, scale = quantise_rows(weight)
        self.register_buffer("weight", quantised)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias.detach().float().clone() if bias is not None else None)
        self._packed: Any = None

    def pack(self) -> None:
        """Pack the weights for the processor; where it has no such layout, floats are used."""
        try:
            with warnings.catch_warnings():
                # torch warns that its quantised tensors will move to another package; here they are short-lived.
                warnings.simplefilter("ignore")
                zeros = torch.zeros(len(self.scale), dtype=torch.long)
                tensor = torch._make_per_channel_quantized_tensor(self.weight, self.scale.double(), zeros, 0)
                self._packed = torch.ops.quantized.linear_prepack(tensor, self.bias)
        except (RuntimeError, AttributeError, NotImplementedError):
            self._packed = None

    def forward(self, inputs: Tensor) -> Tensor:
        """See nn.Linear."""
        if self._packed is None:
            return nn.functional.linear(inputs, self.weight.float() * self.scale[:, None], self.bias)
        # Inputs have 7 bits, because sums of products of 8 bits overflow on processors without VNNI.
        output: Tensor = torch.ops.quantized.linear_dynamic(inputs, self._packed, True)
        return output


class Int8Embedding(nn.Module):
    """An embedding whose rows are integers times a scale a row."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        quantised, scale = quantise_rows(weight)
        self.register_buffer("weight", quantised)
        self.register_buffer("scale", scale)

    def forward(self, ids: Tensor) -> Tensor:
        """See nn.Embedding."""
        return self.weight[ids].float() * self.scale[ids].unsqueeze(-1)


class Int8Classifier(TransformerClassifier):
    """A transformer classifier of 8 bits. On the CPU only."""

    backend = "transformers-int8"

    def write_weights(self, folder: Path) -> None:
        """`config.json` and the weights."""
        self.model.config._name_or_path = ""
        self.model.config.save_pretrained(folder)
        save_file({name: tensor.contiguous() for name, tensor in weights_of(self.model).items()}, folder / WEIGHTS)


def quantise_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Integers in [-127, 127] and a scale a row: [rows, columns] and [rows]. No number is off by more than half its
    row's scale, and 0 stays 0."""
    weight = weight.detach().float()
    scale = (weight.abs().amax(dim=1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
    return (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8), scale


def quantise(classifier: TransformerClassifier) -> Int8Classifier:
    """The same classifier in 8 bits; the one given stays as it is.

    Raises:
        ModelError: it is in 8 bits already.
    """
    if classifier.backend != TransformerClassifier.backend:
        raise ModelError(f"a model of backend {classifier.backend!r} cannot be quantised: name a transformers model")
    model = copy.deepcopy(classifier.model).cpu()
    _replace(model)
    return _packed(model, copy.deepcopy(classifier.tokenizer), classifier.longest)


def read_int8(folder: Path) -> Int8Classifier:
    """The classifier that `Int8Classifier.write` wrote there. The caller checks that the files are unchanged.

    Raises:
        ModelError: its parts are missing or do not fit together.
    """
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = new_model(config)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model.float()
        _replace(model)
        set_weights(model, load_file(folder / WEIGHTS))
    except Exception as error:
        raise unreadable(folder, error) from error
    return _packed(model, tokenizer, tokenizer.model_max_length)


def _packed(model: Any, tokenizer: Any, longest: int) -> Int8Classifier:
    for module in model.modules():
        if isinstance(module, Int8Linear):
            module.pack()
    return Int8Classifier(model, tokenizer, longest)


def _replace(model: nn.Module) -> None:
    """Put layers of 8 bits in place of the linear layers and large embeddings of a network, but for its head."""
    head = {id(module) for module in _head_of(model).modules()}
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            # Exactly these classes: derived ones may do something else as well.
            if type(child) is nn.Linear and id(child) not in head:
                setattr(parent, name, Int8Linear(child.weight, child.bias))
            elif type(child) is nn.Embedding and child.num_embeddings >= _LEAST_ROWS:
                setattr(parent, name, Int8Embedding(child.weight))


def _head_of(model: nn.Module) -> nn.Module:
    """The layer that gives the scores: transformers calls it `classifier` or `score`."""
    for name in ("classifier", "score"):
        if isinstance(layer := getattr(model, name, None), nn.Module):
            return layer
    return nn.Module()
