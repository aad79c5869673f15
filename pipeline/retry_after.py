"""Seconds to wait before the next request to a server: from its `Retry-After` header, or twice the last wait."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for, from a number or a date (RFC 9110, section 10.2.3).

    A moment in the past gives 0. None: there is no header, or its value is not valid, such as a negative number.

    Args:
        value: the header's value.
        now: the time, with a time zone; None: the current time.
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
    # A date without a time zone is in UTC.
    left = moment.replace(tzinfo=moment.tzinfo or UTC) - (now or datetime.now(UTC))
    return max(left.total_seconds(), 0.0)


def wait_before(attempt: int, *, first: float, longest: float, asked: float | None = None) -> float:
    """Seconds to wait before the next attempt, doubled with each attempt.

    Args:
        attempt: the number of attempts that failed, from 1 on.
        first: seconds before the second attempt.
        longest: the longest wait, even if the server asks for more.
        asked: seconds that the server asks for (`retry_after`); None: it asks for nothing.
    """
    return min(asked if asked is not None else first * 2.0 ** (attempt - 1), longest)
