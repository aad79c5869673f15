"""The training loop: epochs of length-bucketed batches, accumulated, clipped, warmed up, scored, stopped, resumable."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.atomic import make_folder
from pipeline.errors import TrainingError
from pipeline.models.training.checkpoint import (
    Position,
    best_name,
    learnt_weights_of,
    load_checkpoint,
    save_checkpoint,
    save_tensors,
    set_weights,
)
from pipeline.models.training.order import Rows, epoch_batches
from pipeline.models.training.schedule import rate_factor, warmup_steps
from pipeline.models.training.seeding import repeatable, seed_everything
from pipeline.progress import Progress, silent

#: the summed loss of some examples, and its divisor (known labels, masked tokens)
LossOf = Callable[[Rows], tuple[Tensor, float]]
#: score of the model as it is now, on held-out examples; greater is better
Score = Callable[[], float]


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """Length and speed of a training."""

    epochs: int = 4
    #: largest number of optimiser steps, also within an epoch; None: as many as the epochs have
    max_steps: int | None = None
    #: examples that go through the model at once
    batch_size: int = 32
    #: batches whose gradients are added up for one step
    accumulate: int = 1
    #: highest learning rate of AdamW (Loshchilov & Hutter 2019)
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    #: share of all steps in which the rate rises
    warmup: float = 0.06
    #: greatest Euclidean norm of a step's gradient; 0: not clipped
    clip: float = 1.0
    #: epochs without a better score after which training ends; 0: never
    patience: int = 2
    #: a checkpoint every so many steps, besides one an epoch; 0: only those
    checkpoint_steps: int = 200
    #: compute in bfloat16 on a CPU as well, if it has that; on a GPU it is always done
    half: bool = False
    #: seconds after which training ends, whatever is left to do, and towards which the rate falls; None: never
    seconds: float | None = None
    seed: int = 20260101


@dataclass(frozen=True, slots=True)
class Trained:
    """The course of a training. The model holds the best weights, or the last where none was scored."""

    #: `loss` (mean over the epoch) and `score` of each epoch
    history: Sequence[Mapping[str, float | None]]
    best_epoch: int | None
    best_score: float | None
    #: optimiser steps
    steps: int
    #: steps that an earlier process had done
    resumed_at: int = 0
    #: true where it ended because `LoopConfig.seconds` were over
    out_of_time: bool = False


def run_loop(
    model: nn.Module,
    lengths: Sequence[int] | NDArray[np.integer],
    loss_of: LossOf,
    config: LoopConfig,
    *,
    device: torch.device | None = None,
    score: Score | None = None,
    factors: Mapping[str, float] | None = None,
    checkpoints: Path | None = None,
    progress: Progress = silent,
    what: str = "training",
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Train a model in place.

    A step's gradient is that of the mean loss over everything that counts in its batches, however it is spread over
    them. On a GPU the forward pass runs in bfloat16 and the weights stay in float32; on a CPU all is float32, unless
    `LoopConfig.half` asks for bfloat16 and the processor has it.

    Args:
        model: moved to `device`.
        lengths: of the training examples, in tokens; examples of similar length share a batch.
        loss_of: called with the positions of a batch's examples, in training mode.
        config: length and speed.
        device: None: a GPU if there is one.
        score: called after each epoch, in evaluation mode, without gradients.
        factors: on the learning rate, by the name of a parameter; 1 for those that are not named.
        checkpoints: folder of the checkpoints, from which a training goes on; None: none are kept. The caller makes
            sure that it belongs to the same model and data, and removes it in the end.
        progress: told of each step.
        what: name of the work for progress.
        clock: seconds, for `LoopConfig.seconds`.

    Raises:
        TrainingError: the loss is no longer a number, or the checkpoint cannot be used.
    """
    device = device or best_device()
    model.to(device)
    seed_everything(config.seed)
    optimizer = make_optimizer(model, config, factors)
    position = load_checkpoint(checkpoints, model, optimizer) if checkpoints is not None else None
    run = _Run(
        model, optimizer, lengths, loss_of, config, device, checkpoints, progress, what, position or Position(), clock
    )
    with repeatable(device):
        while not run.at.finished:
            run.epoch()
            run.end_epoch(score)
        run.take_best()
    at = run.at
    return Trained(at.history, at.best_epoch, at.best_score, at.step, resumed_at=run.began, out_of_time=run.late)


class _Run:
    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        lengths: Sequence[int] | NDArray[np.integer],
        loss_of: LossOf,
        config: LoopConfig,
        device: torch.device,
        checkpoints: Path | None,
        progress: Progress,
        what: str,
        at: Position,
        clock: Callable[[], float],
    ) -> None:
        self.model, self.optimizer, self.lengths, self.loss_of = model, optimizer, lengths, loss_of
        self.config, self.device, self.checkpoints = config, device, checkpoints
        self.progress, self.what, self.at, self.began = progress, what, at, at.step
        batches = math.ceil(len(lengths) / config.batch_size)
        self.steps = math.ceil(batches / config.accumulate)
        self.total = min(self.steps * config.epochs, config.max_steps or sys.maxsize)
        self.best: dict[str, Tensor] | None = None
        self.late = False
        # An earlier process used its share of the time, as far as it came.
        self.clock, seconds = clock, config.seconds
        self.until = None if seconds is None else clock() + seconds * (1 - at.step / max(1, self.total))
        self.kind = half_kind(device, on_cpu=config.half)

    def epoch(self) -> None:
        """Do the steps of this epoch that are left."""
        at, config = self.at, self.config
        batches = epoch_batches(self.lengths, config.batch_size, seed=config.seed, epoch=at.epoch)
        self.model.train()
        for step in range(at.step_in_epoch, self.steps):
            loss, weight = self._step(batches[step * config.accumulate : (step + 1) * config.accumulate])
            at.step, at.step_in_epoch = at.step + 1, step + 1
            at.loss_sum, at.loss_weight = at.loss_sum + loss, at.loss_weight + weight
            self.progress(at.step, self.total, self.what)
            if at.step == self.total:
                break
            if self.until is not None and self.clock() > self.until:
                self.late = True
                break
            if config.checkpoint_steps and at.step % config.checkpoint_steps == 0:
                self._save()

    def _step(self, batches: Sequence[Rows]) -> tuple[float, float]:
        rate = self.config.learning_rate * rate_factor(
            max(self.at.step, self._time_gone()), warmup=warmup_steps(self.total, self.config.warmup), total=self.total
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        summed, weights = 0.0, 0.0
        for rows in batches:
            with torch.autocast(self.kind, torch.bfloat16) if self.kind is not None else nullcontext():
                loss, weight = self.loss_of(rows)
            if weight:
                loss.backward()  # type: ignore[no-untyped-call]
                summed, weights = summed + float(loss.detach()), weights + weight
        if weights:
            if not math.isfinite(summed):
                raise TrainingError(
                    f"the loss is no longer a number (step {self.at.step + 1}): choose a lower learning rate"
                )
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(weights)
            if self.config.clip:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return summed, weights

    def _time_gone(self) -> int:
        """The share of the time that is gone, in steps: the rate has to have fallen when the time is over."""
        if self.until is None or self.config.seconds is None:
            return 0
        left = (self.until - self.clock()) / self.config.seconds
        return min(self.total, int(self.total * (1 - left)))

    def end_epoch(self, score: Score | None) -> None:
        """Score the model, keep the weights if they are the best so far, and end the training if it is over."""
        at, config = self.at, self.config
        value = None
        if score is not None:
            self.model.eval()
            with torch.inference_mode():
                value = score()
            if at.best_score is None or value > at.best_score:
                at.best_score, at.best_epoch = value, at.epoch
                self._keep_best()
        mean = at.loss_sum / at.loss_weight if at.loss_weight else None
        at.history.append({"loss": mean, "score": value})
        stale = at.best_epoch is not None and at.epoch - at.best_epoch >= config.patience > 0
        at.epoch, at.step_in_epoch, at.loss_sum, at.loss_weight = at.epoch + 1, 0, 0.0, 0.0
        at.finished = stale or self.late or at.epoch >= config.epochs or at.step >= self.total
        self._save()

    def take_best(self) -> None:
        """Give the model the best weights."""
        if self.best is None and self.at.best_epoch is not None and self.checkpoints is not None:
            self.best = load_file(self.checkpoints / best_name(self.at.best_epoch))
        if self.best is not None:
            set_weights(self.model, self.best, learnt=True)
        self.model.eval()

    def _keep_best(self) -> None:
        if self.checkpoints is None:
            self.best = {name: weight.cpu().clone() for name, weight in learnt_weights_of(self.model).items()}
        else:
            make_folder(self.checkpoints)
            save_tensors(learnt_weights_of(self.model), self.checkpoints / best_name(self.at.epoch))

    def _save(self) -> None:
        if self.checkpoints is not None:
            save_checkpoint(self.checkpoints, self.model, self.optimizer, self.at)


def best_device() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half_kind(device: torch.device, *, on_cpu: bool) -> str | None:
    """The kind of device to compute in bfloat16 on; None: float32.

    A CPU without instructions for bfloat16 is slower with it.
    """
    if device.type == "cuda":
        return "cuda"
    has = torch.cpu.get_capabilities()
    return "cpu" if on_cpu and device.type == "cpu" and (has.get("avx512_bf16") or has.get("amx_bf16")) else None


def make_optimizer(
    model: nn.Module, config: LoopConfig, factors: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """AdamW without decay of vectors (biases, norms); each group has a `factor` on the learning rate."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(((factors or {}).get(name, 1.0), parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": config.weight_decay if decays else 0.0, "factor": factor}
            for (factor, decays), parameters in groups.items()
        ],
        lr=config.learning_rate,
        # One pass over the weights instead of a dozen.
        fused=True,
    )
