"""Days as volunteers count them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

#: Malaysia keeps one time all year round
MALAYSIA = timezone(timedelta(hours=8), "MYT")


def start_of_day(at: datetime) -> datetime:
    """The midnight in Malaysia before a moment."""
    return at.astimezone(MALAYSIA).replace(hour=0, minute=0, second=0, microsecond=0)
