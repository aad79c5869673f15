"""Random numbers in torch: seeded, saved and restored; and arithmetic that is the same each time."""

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
    """The state of torch's generators, by device."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore_random_state(state: Mapping[str, Tensor]) -> None:
    """Restore the state of torch's generators; devices that are not here any more are left out."""
    torch.set_rng_state(state["cpu"])
    for i in range(torch.cuda.device_count()):
        if (saved := state.get(f"cuda:{i}")) is not None:
            torch.cuda.set_rng_state(saved, i)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Make the same input give the same output within the block: bit by bit, on a CPU with as many threads.

    On a GPU, attention and sums stay fast instead, so the last digits differ from run to run.
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
