"""The layers of a network by the names of its parameters: which stay as they are, and how fast the others learn."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn


def layer_factors(names: Sequence[str], decay: float) -> dict[str, float]:
    """The factor on the learning rate by a parameter's name: 1 for the head, `decay` times less for each layer below.

    What lies below the first layer (embeddings) has the factor of a layer more. Names without a layer's number and
    outside of embeddings are the head's.
    """
    numbers = _layers_of(names)
    if decay == 1 or not numbers:
        return {}
    count = max(numbers.values()) + 1
    factors = {name: decay ** (count - number) for name, number in numbers.items()}
    return factors | {name: decay ** (count + 1) for name in names if "embed" in name}


def _layers_of(names: Sequence[str]) -> dict[str, int]:
    """The layer's number by a parameter's name, of those that belong to one."""
    return {name: int(match[1]) for name in names if (match := re.search(r"\blayers?\.(\d+)\.", name))}


def freeze_lower(model: nn.Module, count: int) -> None:
    """Keep the first `count` layers and the embeddings as they are. 0: all are trained."""
    if count <= 0:
        return
    parameters = dict(model.named_parameters())
    numbers = _layers_of(list(parameters))
    for name, parameter in parameters.items():
        if numbers.get(name, count) < count or ("embed" in name and name not in numbers):
            parameter.requires_grad_(False)
