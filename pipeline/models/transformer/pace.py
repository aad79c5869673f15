"""The speed of a network on this machine, and the plan that follows from it, kept for a training that is taken up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.atomic import make_folder, write_file
from pipeline.errors import TrainingError
from pipeline.models.training.order import Rows
from pipeline.models.transformer.budget import Plan, Speed, plan_training
from pipeline.models.transformer.layers import freeze_lower

_PLAN = "plan.json"
#: batches that are measured, after one that is not
_MEASURED = 4


def kept_plan(
    folder: Path | None,
    model: nn.Module,
    lengths: NDArray[np.int64],
    loss_of: Callable[[Rows], tuple[Tensor, float]],
    *,
    seconds: float,
    batch: int,
    held_out: int,
    longest: int,
    epochs: int,
    frozen: Sequence[int] = (0,),
    half: str | None,
    clock: Callable[[], float],
) -> Plan:
    """The plan that lies in the folder of the checkpoints; if there is none, one by the speed that is measured.

    The layers that it leaves as they are take no gradient afterwards.

    Args:
        folder: of the checkpoints; None: nothing is kept.
        model: in training mode afterwards; its weights stay.
        lengths: of the training texts in tokens.
        loss_of: the loss of a batch.
        seconds: left for all of it.
        batch: texts in a batch.
        held_out: tokens that are scored afterwards.
        longest: tokens of a text, at most.
        epochs: at most.
        frozen: numbers of lower layers that stay as they are, rising; see `TransformerConfig.frozen`.
        half: see `half_kind`.
        clock: seconds.

    Raises:
        TrainingError: the time is too short to learn anything.
    """
    path = None if folder is None else folder / _PLAN
    if path is not None and path.is_file():
        # Plans from before this was chosen kept the last of the numbers.
        kept = Plan(**{"frozen": frozen[-1]} | json.loads(path.read_bytes()))
        freeze_lower(model, kept.frozen)
        return kept
    plan: Plan | None = None
    for count in frozen:
        freeze_lower(model, count)
        began = clock()
        speed = measure_speed(model, lengths, loss_of, batch=batch, half=half, clock=clock)
        seconds -= clock() - began
        plan = plan_training(seconds, lengths, held_out, speed, longest=longest, epochs=epochs)
        if plan is not None:
            plan = replace(plan, frozen=count)
            if plan.epochs * plan.share >= 1 and plan.length == longest:
                break
    if plan is None:
        needed = held_out / speed.scoring
        raise TrainingError(
            f"--budget is too short: scoring the held-out texts alone takes about {needed:,.0f} seconds here"
        )
    if path is not None:
        make_folder(path.parent)
        write_file(path, json.dumps(asdict(plan)), durable=True)
    return plan


def measure_speed(
    model: nn.Module,
    lengths: NDArray[np.int64],
    loss_of: Callable[[Rows], tuple[Tensor, float]],
    *,
    batch: int,
    half: str | None,
    clock: Callable[[], float],
) -> Speed:
    """Tokens a second, learning and scoring, of batches whose texts are of the usual lengths. Weights stay.

    The fastest batch counts: what slows others down is work of other programs, which ends. Where it does not, the loop
    stops in time.
    """
    order = np.argsort(lengths, kind="stable")
    starts = np.linspace(0, max(0, len(order) - batch), _MEASURED + 1).astype(np.int64)
    batches = [order[start : start + batch] for start in starts]
    model.train()
    learning = scoring = 0.0
    for number, rows in enumerate(batches):
        began = clock()
        with torch.autocast(half, torch.bfloat16) if half is not None else nullcontext():
            loss, _ = loss_of(rows)
        loss.backward()  # type: ignore[no-untyped-call]
        middle = clock()
        with torch.inference_mode():
            loss_of(rows)
        if number:  # The first batch warms up.
            tokens, end = int(lengths[rows].sum()), clock()
            learning = max(learning, tokens / max(middle - began, 1e-9))
            scoring = max(scoring, tokens / max(end - middle, 1e-9))
        model.zero_grad(set_to_none=True)
    return Speed(learning, scoring)
