"""Weights of 8 bits, for serving on a CPU: a quarter of the room, and matrix products of integers.

Each row of a weight matrix has a scale of its own; inputs of a layer are quantised when they arrive, with one scale a
batch (dynamic quantisation; Jacob et al. 2018, arXiv:1712.05877). An input that is always many times as large as the
others is multiplied as a float, because a scale for it would leave few bits for them (Dettmers et al. 2022,
arXiv:2208.07339, section 3.2). Embeddings are kept in 8 bits and looked up as floats. The head stays in float32: it is
small, and an error in it changes a score directly.

The tensors on disk are plain int8 and float32. The integer product is torch's `quantized.linear_dynamic`; where a build
of torch or a processor has none, the same weights are multiplied as floats.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
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
from pipeline.models.transformer.tokens import batch_of, tokenise

#: another name than that of plain transformers, which would read the integers as weights
WEIGHTS = "model.int8.safetensors"
#: least number of rows of an embedding to be quantised: smaller ones are positions or kinds of segments
_LEAST_ROWS = 1_000
#: an input is loud if it is so many times as large as the second largest, on texts that show it; any will do
_LOUD = 2.0
_SAMPLES = ("Dah makan ke belum? It is raining heavily today, RM12.50 je 😅 https://contoh.my", "selamat pagi semua")


class Int8Linear(nn.Module):
    """A linear layer whose weights are integers times a scale a row, but for those of a loud input, if it has one."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None
    #: number of the loud input, and its weights
    loud: Tensor | None
    loud_weight: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, loud: int | None = None) -> None:
        super().__init__()
        weight = weight.detach().float().clone()
        self.register_buffer("loud", None if loud is None else torch.tensor(loud))
        self.register_buffer("loud_weight", None if loud is None else weight[:, loud].clone())
        if loud is not None:
            weight[:, loud] = 0
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
        if self.loud is None or self.loud_weight is None:
            return self._quiet(inputs)
        alone = inputs[..., self.loud, None]
        return torch.addcmul(self._quiet(inputs.index_fill(-1, self.loud, 0.0)), alone, self.loud_weight)

    def _quiet(self, inputs: Tensor) -> Tensor:
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
    tokens = tokenise(classifier.tokenizer, _SAMPLES, classifier.longest)
    batches = [batch_of([sample], [0], 0, torch.device("cpu")) for sample in tokens]
    _replace(model, _loud_inputs(model, batches))
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
        tensors = load_file(folder / WEIGHTS)
        _replace(model, {name.removesuffix(".loud"): 0 for name in tensors if name.endswith(".loud")})
        set_weights(model, tensors)
    except Exception as error:
        raise unreadable(folder, error) from error
    return _packed(model, tokenizer, tokenizer.model_max_length)


def _packed(model: Any, tokenizer: Any, longest: int) -> Int8Classifier:
    for module in model.modules():
        if isinstance(module, Int8Linear):
            module.pack()
    return Int8Classifier(model, tokenizer, longest)


@torch.inference_mode()
def _loud_inputs(model: nn.Module, batches: Sequence[Mapping[str, Tensor]]) -> dict[str, int]:
    """The loud input of each linear layer that has one, by the layer's name."""
    largest: dict[str, Tensor] = {}

    def note(name: str, inputs: Tensor) -> None:
        sizes = inputs.abs().flatten(0, -2).amax(0)
        # Of several texts the least counts, so that what is loud in one text only does not.
        largest[name] = torch.minimum(largest[name], sizes) if name in largest else sizes

    hooks = [
        module.register_forward_pre_hook(lambda _, given, name=name: note(name, given[0]))
        for name, module in model.named_modules()
        if type(module) is nn.Linear
    ]
    try:
        for batch in batches:
            model(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    loud = {}
    for name, sizes in largest.items():
        if len(sizes) > 1:
            (first, second), places = sizes.topk(2)
            if first > _LOUD * second:
                loud[name] = int(places[0])
    return loud


def _replace(model: nn.Module, loud: Mapping[str, int]) -> None:
    """Put layers of 8 bits in place of the linear layers and large embeddings of a network, but for its head."""
    head = {id(module) for module in _head_of(model).modules()}
    for at, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            # Exactly these classes: derived ones may do something else as well.
            if type(child) is nn.Linear and id(child) not in head:
                path = f"{at}.{name}" if at else name
                setattr(parent, name, Int8Linear(child.weight, child.bias, loud.get(path)))
            elif type(child) is nn.Embedding and child.num_embeddings >= _LEAST_ROWS:
                setattr(parent, name, Int8Embedding(child.weight))


def _head_of(model: nn.Module) -> nn.Module:
    """The layer that gives the scores: transformers calls it `classifier` or `score`."""
    for name in ("classifier", "score"):
        if isinstance(layer := getattr(model, name, None), nn.Module):
            return layer
    return nn.Module()
