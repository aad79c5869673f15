"""One sign for one figure: a check of the gate as people see it, where more is better for the challenger. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: what a budget limits, and labels that only the champion knows: no difference, so no sign
_UNSIGNED = ("latency", "size", "knows ")
#: its figure in the record is a gain already; those of recalls and languages are drops
_GAIN = "macro"


def shown_check(check: Mapping[str, Any]) -> str:
    """The figure of a check with its interval: a gain has a plus sign, a drop a minus sign, as in its explanation.

    Args:
        check: as `gate.json` holds it.
    """
    value, low, high = check["value"], check["low"], check["high"]
    if value is None:
        return "-"
    if check["name"].startswith(_UNSIGNED):
        return f"{value:.3f}"
    if not check["name"].startswith(_GAIN):
        value, low, high = -value, None if high is None else -high, None if low is None else -low
    # minus zero is zero
    value, low, high = (None if number is None else number + 0.0 for number in (value, low, high))
    return f"{value:+.3f}" if low is None or high is None else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
