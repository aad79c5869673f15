"""Chance in torch: seeded, saved and brought back; and arithmetic that comes out the same each time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed every generator that a model's code may draw from: Python's, NumPy's, torch's on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict[str, Tensor]:
    """Where torch's generators stand, by device."""
    found = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        found |= {f"cuda:{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return found


def restore_random_state(state: Mapping[str, Tensor]) -> None:
    """Set torch's generators to where they stood; devices that are not here any more are left out."""
    torch.set_rng_state(state["cpu"])
    for i in range(torch.cuda.device_count()):
        if (one := state.get(f"cuda:{i}")) is not None:
            torch.cuda.set_rng_state(one, i)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Within the block the same input gives the same output, bit by bit, on a CPU with the same number of threads.

    On a GPU, attention and sums are left as fast as they are: there the last digits differ from run to run.
    """
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed torch for a block, and leave its generators afterwards as they were before."""
    before = random_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        restore_random_state(before)
