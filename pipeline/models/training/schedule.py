"""The learning rate of each step: linear warm-up, then linear decay to 0 (Devlin et al. 2019, A.2)."""

from __future__ import annotations


def warmup_steps(total: int, share: float) -> int:
    """Number of warm-up steps, as a share of all steps."""
    return round(total * share)


def rate_factor(step: int, *, warmup: int, total: int) -> float:
    """Factor on the peak learning rate in a step, counted from 0: rises to 1, then falls towards 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (total - step) / max(1, total - warmup))
