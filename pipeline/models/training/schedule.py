"""How the learning rate rises and falls: linear warm-up, then linear decay to nothing (Devlin et al. 2019, A.2)."""

from __future__ import annotations


def warmup_steps(total: int, share: float) -> int:
    """Steps of warm-up when they are to be a share of all."""
    return round(total * share)


def rate_factor(step: int, *, warmup: int, total: int) -> float:
    """What the peak learning rate is multiplied by in a step, counted from 0: rises to 1, then falls towards 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (total - step) / max(1, total - warmup))
