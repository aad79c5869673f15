"""Numbers with their intervals, as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping


def bracketed(estimate: Mapping[str, float | None]) -> str:
    """The text for a number with its interval; `-` where it was not measured."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
