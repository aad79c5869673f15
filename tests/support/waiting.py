"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

#: seconds that anything may take which has to happen; on a busy machine a process takes long to start
_DEADLINE = 90.0
_POLL_SECONDS = 0.02


def until(condition: Callable[[], bool], what: str, *, poll_seconds: float = _POLL_SECONDS) -> None:
    """Wait for a condition.

    Args:
        condition: is asked until it is met.
        what: is waited for, in words.
        poll_seconds: between two questions; more where asking costs something.

    Raises:
        AssertionError: it is not met in time.
    """
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"not in {_DEADLINE} s: {what}"
        time.sleep(poll_seconds)
