"""Checkpoints of a training on disk: safetensors and JSON, never a pickle. Written whole or not at all.

A folder holds one finished checkpoint (`step-N-EPOCH/`) and, beside it, the best weights so far
(`best-EPOCH.safetensors`). A file has another name until it is complete, so a process may be killed at any moment.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.atomic import make_folder, new_file, to_disk, write_file
from pipeline.errors import TrainingError, first_line
from pipeline.models.training.seeding import random_state, restore_random_state

_STATE, _MODEL, _OPTIMIZER, _RANDOM = "state.json", "model.safetensors", "optimizer.safetensors", "random.safetensors"


@dataclass(slots=True)
class Position:
    """Position of a training: enough, with the weights, to go on as if it had not been interrupted."""

    epoch: int = 0
    #: optimiser steps of this epoch that are done
    step_in_epoch: int = 0
    #: optimiser steps in all
    step: int = 0
    #: epoch of the best weights; None: none was scored
    best_epoch: int | None = None
    best_score: float | None = None
    #: one entry an epoch that was finished
    history: list[dict[str, float | None]] = field(default_factory=list)
    #: sum and weight of the losses of this epoch so far
    loss_sum: float = 0.0
    loss_weight: float = 0.0
    finished: bool = False


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, each once though modules may share it; not copied."""
    kept = model.state_dict(keep_vars=True)
    own = dict(model.named_parameters()) | {name: buffer for name, buffer in model.named_buffers() if name in kept}
    return {name: tensor.detach() for name, tensor in own.items()}


def learnt_weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Those of `weights_of` that training changes: parameters without a gradient are left out."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in weights_of(model).items() if name not in frozen}


def set_weights(model: nn.Module, weights: Mapping[str, Tensor], *, learnt: bool = False) -> None:
    """Put weights into a model of the same shape.

    Args:
        model: changed in place.
        weights: as `weights_of` gave them.
        learnt: they are from `learnt_weights_of`.

    Raises:
        TrainingError: they are those of another model.
    """
    own = learnt_weights_of(model) if learnt else weights_of(model)
    if set(own) != set(weights) or any(own[name].shape != weights[name].shape for name in own):
        raise TrainingError("the weights belong to another model")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, and wait until they are on the disk; an older file of that name is replaced."""
    with new_file(path, durable=True) as building:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, building)


def save_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, position: Position) -> None:
    """Write a checkpoint, and remove the one before."""
    make_folder(folder)
    building, final = folder / ".writing", folder / f"step-{position.step}-{position.epoch}"
    shutil.rmtree(building, ignore_errors=True)
    make_folder(building)
    tensors, plain = _optimizer_state(optimizer)
    save_tensors(learnt_weights_of(model), building / _MODEL)
    save_tensors(tensors, building / _OPTIMIZER)
    save_tensors(random_state(), building / _RANDOM)
    state = json.dumps({"position": asdict(position), "optimizer": plain})
    write_file(building / _STATE, state, durable=True)
    building.rename(final)
    to_disk(folder)
    for old in _finished(folder):
        if old != final:
            shutil.rmtree(old)
    for best in [*folder.glob("best-*.safetensors"), *folder.glob(".best-*")]:
        if best.name != best_name(position.best_epoch):
            best.unlink()


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Position | None:
    """Restore a model, its optimiser and torch's generators from the last checkpoint; None if there is none.

    Raises:
        TrainingError: it is damaged, or of another model.
    """
    checkpoints = _finished(folder)
    if not checkpoints:
        return None
    last = max(checkpoints, key=_step_of)
    try:
        state = json.loads((last / _STATE).read_bytes())
        set_weights(model, load_file(last / _MODEL), learnt=True)
        _restore_optimizer(optimizer, load_file(last / _OPTIMIZER), state["optimizer"])
        restore_random_state(load_file(last / _RANDOM))
        return Position(**state["position"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, TrainingError) as error:
        raise TrainingError(
            f"{last}: the checkpoint cannot be used ({first_line(error)}): remove it to train from the start"
        ) from error


def best_name(epoch: int | None) -> str:
    """The file of the best weights, under the folder of the checkpoints."""
    return f"best-{epoch}.safetensors"


def _finished(folder: Path) -> list[Path]:
    return [path for path in folder.glob("step-*") if path.is_dir()]


def _step_of(path: Path) -> tuple[int, int]:
    _, step, epoch = path.name.split("-")
    return int(step), int(epoch)


def _optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors by name, and the plain values beside them."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value
        for index, values in state["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    plain = {
        str(index): {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        for index, values in state["state"].items()
    }
    return tensors, plain


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Mapping[str, Any]]
) -> None:
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain.items()}
    for name, value in tensors.items():
        index, _, part = name.partition(".")
        state.setdefault(int(index), {})[part] = value
    # Rates and decay of the groups come from the configuration, which the optimiser was made with.
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
