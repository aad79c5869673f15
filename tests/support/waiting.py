"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

#: seconds that anything may take which has to happen; on a busy machine a process takes long to start
_DEADLINE = 90.0
_POLL_SECONDS = 0.02
#: a question takes time that those who are waited for need as well: what lasts long is asked about less often
_SHARE, _LONGEST_POLL_SECONDS = 0.05, 0.2


def until(
    condition: Callable[[], bool], what: str, *, poll_seconds: float = _POLL_SECONDS, seconds: float = _DEADLINE
) -> None:
    """Wait for a condition.

    Args:
        condition: is asked until it is met.
        what: is waited for, in words.
        poll_seconds: between the first two questions; more where asking costs something.
        seconds: that it may take; more where many others work at the same time.

    Raises:
        AssertionError: it is not met in time.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, f"not in {seconds} s: {what}"
        time.sleep(max(poll_seconds, min(_SHARE * waited, _LONGEST_POLL_SECONDS)))
