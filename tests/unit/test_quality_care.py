"""How long raters take, and how much harsh content they meet."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from sync.quality.care import Exposure, days_of_care
from sync.quality.pace import LEAST_TIMED, LONGEST_SECONDS, acceptance, pace
from tests.support.volunteers import table

#: ten in the morning in Malaysia
_MORNING = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)


def met(rater: str = "7", at: datetime = _MORNING, seconds: float | None = 30.0, **more: object) -> Exposure:
    return Exposure(rater, at, seconds, **({"harsh": True, "cap": 30} | more))  # type: ignore[arg-type]


def test_minutes_of_harsh_content_are_summed_by_volunteer_and_day() -> None:
    days = days_of_care(
        [
            met(seconds=90),
            met(seconds=30),
            met(harsh=False, seconds=600),
            met("8"),
            met(at=_MORNING + timedelta(days=1)),
        ]
    )
    assert [(one.rater, one.day, one.tasks, one.harsh, one.harsh_minutes) for one in days] == [
        ("7", date(2026, 11, 2), 3, 2, 2.0),
        ("8", date(2026, 11, 2), 1, 1, 0.5),
        ("7", date(2026, 11, 3), 1, 1, 0.5),
    ]


def test_a_day_is_malaysias() -> None:
    # 23:59 and 00:01 in Kuala Lumpur are one UTC day
    late = datetime(2026, 11, 2, 15, 59, tzinfo=UTC)
    assert [one.day.day for one in days_of_care([met(at=late), met(at=late + timedelta(minutes=2))])] == [2, 3]


def test_a_tab_left_open_is_not_hours_of_harsh_content() -> None:
    [day] = days_of_care([met(seconds=86_400), met(seconds=None)])
    assert day.harsh_minutes == LONGEST_SECONDS / 60
    assert day.harsh == 2


@pytest.mark.parametrize(("harsh", "over"), [(10, False), (11, True)])
def test_more_than_the_cap_is_marked(harsh: int, over: bool) -> None:
    [day] = days_of_care([met(cap=10)] * harsh + [met(harsh=False, cap=10)] * 20)
    assert (day.over, day.cap) == (over, 10)


def test_the_lowest_cap_counts_where_somebody_works_in_several_projects() -> None:
    [day] = days_of_care([met(cap=30), met(cap=5), met(cap=30)])
    assert day.cap == 5


def timed(seconds: list[float]) -> np.ndarray:
    return np.array(seconds, dtype=np.float64)


def test_pace_is_the_middle_and_counts_what_nobody_can_have_read() -> None:
    seconds = timed([1.0, 1.2, 10, 20, 30, 40, 50, 60, 70, 9_000])
    found = pace(table(np.ones((10, 1)), [0] * 10, list(range(10)), seconds=seconds))
    assert (found.timed, found.median, found.impossible) == (10, 35.0, 0.2)
    assert found.lower_quartile == 12.5
    assert found.upper_quartile == 57.5


def test_pace_is_not_given_of_a_few_answers() -> None:
    seconds = timed([5.0] * (LEAST_TIMED - 1) + [np.nan] * 20)
    found = pace(table(np.ones((len(seconds), 1)), [0] * len(seconds), list(range(len(seconds))), seconds=seconds))
    assert (found.timed, found.median, found.impossible) == (LEAST_TIMED - 1, None, None)


def test_what_became_of_the_ticks_is_counted() -> None:
    shown = np.array([True] * 12 + [False] * 4)
    kept = np.array([True] * 9 + [False] * 7)
    found = acceptance(table(np.ones((16, 1)), [0] * 16, list(range(16)), shown=shown, kept=kept))
    assert (found.kept, found.changed, found.scratch) == (9, 3, 4)
    assert found.kept_share is not None
    assert found.kept_share.value == 0.75
    assert found.kept_share.low < 0.75 < found.kept_share.high
