"""How long a server is left alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.retry_after import retry_after, wait_before

_NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0.05", 0.05),
        ("0", 0.0),
        ("-3", None),
        ("Sat, 01 Mar 2025 12:00:30 GMT", 30.0),
        ("Sat, 01 Mar 2025 20:00:30 +0800", 30.0),
        ("Sat, 01 Mar 2025 12:00:30 -0000", 30.0),
        ("Sat, 01 Mar 2025 11:00:00 GMT", 0.0),
        ("inf", None),
        ("nan", None),
        ("²", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_number_or_a_date_says_when_to_ask_again(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=_NOW) == seconds


def test_waits_double_up_to_the_longest_unless_the_server_asks_for_one() -> None:
    assert [wait_before(attempt, first=0.5, longest=3) for attempt in (1, 2, 3, 4, 100)] == [0.5, 1, 2, 3, 3]
    assert wait_before(1, first=0.5, longest=3, asked=2) == 2
    assert wait_before(1, first=0.5, longest=3, asked=0) == 0
    assert wait_before(1, first=0.5, longest=3, asked=60) == 3
