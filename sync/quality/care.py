"""Counts of harsh content that each volunteer met on each day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo

from sync.project.days import MALAYSIA
from sync.quality.pace import LONGEST_SECONDS


@dataclass(frozen=True, slots=True)
class Exposure:
    """One task that somebody had open, whatever they did with it."""

    rater: str
    at: datetime
    seconds: float | None
    #: it was expected to be harsh, or was found to be
    harsh: bool
    #: harsh tasks that may be met a day where they met it
    cap: int


@dataclass(frozen=True, slots=True)
class DayOfCare:
    """Counts of one volunteer's day."""

    rater: str
    day: date
    tasks: int
    harsh: int
    harsh_minutes: float
    cap: int
    over: bool


def days_of_care(exposures: Iterable[Exposure], *, zone: tzinfo = MALAYSIA) -> list[DayOfCare]:
    """Sum up each volunteer's days, by day and volunteer.

    Where they worked in several projects on one day, the lowest cap counts for all of them together.

    Args:
        exposures: every task that was opened, judged or not.
        zone: whose days.
    """
    days: dict[tuple[date, str], list[Exposure]] = defaultdict(list)
    for exposure in exposures:
        days[exposure.at.astimezone(zone).date(), exposure.rater].append(exposure)
    report = []
    for (day, rater), seen in sorted(days.items(), key=lambda item: item[0]):
        harsh = [exposure for exposure in seen if exposure.harsh]
        seconds = sum(min(exposure.seconds or 0.0, LONGEST_SECONDS) for exposure in harsh)
        cap = min(exposure.cap for exposure in seen)
        report.append(DayOfCare(rater, day, len(seen), len(harsh), seconds / 60, cap, len(harsh) > cap))
    return report
