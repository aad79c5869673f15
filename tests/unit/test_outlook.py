"""When the next training is due, in words; a run on a page; one sign for one figure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.learning.due import News
from pipeline.learning.gate.signs import shown_check
from saring.actions.outlook import next_training
from saring.cli.runs_page import page_lines

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def news(answers: int, *, hours_ago: float | None = 2) -> News:
    trained = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    return News(answers, trained, NOW - timedelta(hours=1) if answers else None, None)


@pytest.mark.parametrize(
    ("since", "labels", "hours", "words"),
    [
        (news(30), 200, 0, "after 170 more answers"),
        (news(199), 200, 0, "after 1 more answer"),
        (news(200), 200, 24, "due now"),
        (news(1, hours_ago=25), 200, 24, "due now"),
        (news(0), 0, 0, "only by hand"),
        (news(0, hours_ago=30), 0, 24, "at the first answer"),
        (news(0, hours_ago=None), 0, 24, "at the first answer"),
    ],
)
def test_the_next_training_is_told_in_words(since: News, labels: int, hours: float, words: str) -> None:
    assert next_training(since, labels=labels, hours=hours, now=NOW) == words


def test_a_time_is_told_beside_the_number_of_answers() -> None:
    at = f"{(NOW + timedelta(hours=22)).astimezone():%Y-%m-%d %H:%M}"
    assert next_training(news(30), labels=200, hours=24, now=NOW) == f"after 170 more answers or at {at}"
    words = next_training(news(0), labels=0, hours=24, now=NOW)
    assert words == f"at the first answer after {at}"


def check(name: str, value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (check("macro average precision", -0.01, -0.05, 0.013), "-0.010 [-0.050, +0.013]"),
        # recorded as drops: what got worse has a minus sign everywhere
        (check("recall of late", 0.1, 0.02, 0.2), "-0.100 [-0.200, -0.020]"),
        (check("language ms", -0.1, -0.2, 0.03), "+0.100 [-0.030, +0.200]"),
        (check("recall of late", 0.0, 0.0, 0.0), "+0.000 [+0.000, +0.000]"),
        (check("latency", 12.5), "12.500"),
        (check("knows late", 1.0), "1.000"),
        (check("macro average precision", None), "-"),
    ],
)
def test_a_gain_has_a_plus_sign_and_a_drop_a_minus_sign(given: dict[str, Any], shown: str) -> None:
    assert shown_check(given) == shown


def test_a_record_is_a_page_of_lines() -> None:
    record = {
        "model": "labels-linear-1",
        "metrics": {"macro": {"value": 0.98765, "low": 0.9, "high": 1.0}, "texts": 24},
        "labels": ["late", "crowded"],
        "rows": list(range(1000)),
        "checks": [{"a": 1}, {"a": 2}],
        "nothing": None,
    }
    assert page_lines(record) == [
        "model: labels-linear-1",
        "metrics.macro: 0.988 [0.900, 1.000]",
        "metrics.texts: 24",
        "labels: late, crowded",
        "rows: 0, 1, 2, 3, 4, 5, ... (1,000 in all)",
        "checks: 2 entries",
    ]


def test_a_long_record_is_cut_to_a_page() -> None:
    lines = page_lines({f"name {i}": "x" * 500 for i in range(300)})
    assert len(lines) == 31
    assert lines[-1] == "... and 270 more"
    assert max(map(len, lines)) < 120
