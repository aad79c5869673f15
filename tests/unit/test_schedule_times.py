"""When each regular job is sent next, and whether anybody sends them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.settings import Settings
from saring.workers.schedule import is_sending, next_time, planned

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "last", "at"),
    [
        (60.0, NOW - timedelta(seconds=20), NOW + timedelta(seconds=40)),
        # late: it is sent now
        (60.0, NOW - timedelta(seconds=90), NOW),
        (60.0, None, NOW),
        ("19:10", None, NOW.replace(hour=19, minute=10)),
        ("12:00", NOW, NOW + timedelta(days=1)),
        ("03:05", NOW, (NOW + timedelta(days=1)).replace(hour=3, minute=5)),
    ],
)
def test_the_next_time_follows_from_the_interval_or_the_time_of_day(
    every: float | str, last: datetime | None, at: datetime
) -> None:
    assert next_time(every, last, NOW) == at


def test_a_schedule_that_nobody_keeps_has_no_next_time() -> None:
    settings = Settings(home=Path("/nonexistent"), look_seconds=15)
    assert not is_sending(settings, None, now=NOW)
    assert not is_sending(settings, {"sweep": None, "pull": NOW - timedelta(minutes=5)}, now=NOW)
    assert is_sending(settings, {"sweep": NOW - timedelta(seconds=30)}, now=NOW)
    assert {job.next_at for job in planned(settings, None, now=NOW)} == {None}


def test_each_job_names_the_settings_that_steer_it_with_their_values() -> None:
    settings = Settings(home=Path("/nonexistent"), queue_low=50)
    jobs = {job.name: job for job in planned(settings, {"sweep": NOW}, now=NOW)}
    assert jobs["refill"].settings == {
        "SARING_QUEUE_LOW": 50,
        "SARING_QUEUE_REFILL": 300,
        "SARING_LOOK_SECONDS": 15.0,
    }
    assert jobs["reconcile"].next_at == NOW.replace(hour=19, minute=10)
    known = {f"SARING_{name}".upper() for name in Settings.model_fields}
    assert {name for job in jobs.values() for name in job.settings} <= known
