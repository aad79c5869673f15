"""When a training is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.learning.due import News, why_due

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def hours_ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


@pytest.mark.parametrize(
    ("news", "due"),
    [
        pytest.param(News(0, None, None, None), None, id="nobody said anything"),
        pytest.param(News(49, hours_ago(1), hours_ago(1), None), None, id="too few, too soon"),
        pytest.param(News(50, hours_ago(1), hours_ago(1), None), "50 new judgements by people", id="enough"),
        pytest.param(
            News(3, hours_ago(24), hours_ago(1), None),
            "3 new judgements by people, and 24 hours have passed",
            id="a few, and long ago",
        ),
        pytest.param(News(3, None, hours_ago(2), None), None, id="the first, lately"),
        pytest.param(
            News(3, None, hours_ago(30), None),
            "3 new judgements by people, and 24 hours have passed",
            id="the first, long ago",
        ),
        pytest.param(News(80, hours_ago(30), hours_ago(9), hours_ago(0.1)), None, id="the last attempt just failed"),
        pytest.param(
            News(80, hours_ago(30), hours_ago(9), hours_ago(1)), "80 new judgements by people", id="it failed long ago"
        ),
    ],
)
def test_it_is_due_for_a_reason(news: News, due: str | None) -> None:
    assert why_due(news, labels=50, hours=24, now=NOW) == due


def test_each_condition_can_be_turned_off() -> None:
    news = News(500, hours_ago(99), hours_ago(50), None)
    assert why_due(news, labels=0, hours=0, now=NOW) is None
    assert why_due(news, labels=0, hours=24, now=NOW) is not None
    assert why_due(news, labels=50, hours=0, now=NOW) is not None
