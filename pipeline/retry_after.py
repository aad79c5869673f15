"""Seconds to wait before a server is asked again: what it says in `Retry-After`, or twice the wait before."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for, from a number or a date (RFC 9110, section 10.2.3).

    A moment that has passed asks for none. None: there is no header, or it makes no sense, as less than none does.

    Args:
        value: of the header.
        now: with a time zone; None: the clock's.
    """
    try:
        seconds = float(value or "")
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    try:
        moment = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    # a date without a zone is in universal time
    left = moment.replace(tzinfo=moment.tzinfo or UTC) - (now or datetime.now(UTC))
    return max(left.total_seconds(), 0.0)


def wait_before(attempt: int, *, first: float, longest: float, asked: float | None = None) -> float:
    """Seconds to wait before a further attempt, doubled with each.

    Args:
        attempt: the number of attempts that failed, from 1 on.
        first: seconds before the second attempt.
        longest: the most to wait, whatever the server asks for.
        asked: what the server asks for (`retry_after`); None: nothing.
    """
    return min(asked if asked is not None else first * 2.0 ** (attempt - 1), longest)
