"""Reports as plain values: what a page or a program reads is JSON, whatever a report holds."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from pipeline.judgement import Tier
from pipeline.measure.plain import plain


@dataclass(frozen=True)
class _Part:
    score: float
    at: datetime


@dataclass(frozen=True)
class _Report:
    tier: Tier
    parts: tuple[_Part, ...]
    by_day: dict[date, int]
    ids: frozenset[uuid.UUID]
    flags: tuple[object, ...]


def test_a_report_becomes_json_and_what_is_no_number_becomes_null() -> None:
    report = _Report(
        Tier.GOLD,
        (_Part(float("nan"), datetime(2026, 1, 5, tzinfo=UTC)), _Part(0.123456789, datetime(2026, 1, 6, tzinfo=UTC))),
        {date(2026, 1, 5): 3},
        frozenset({uuid.UUID(int=7)}),
        (np.bool_(True), np.int64(3), np.float32(0.5), np.inf, None),
    )
    values = plain(report)
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values == {
        "tier": "gold",
        "parts": [
            {"score": None, "at": "2026-01-05T00:00:00+00:00"},
            {"score": 0.123456789, "at": "2026-01-06T00:00:00+00:00"},
        ],
        "by_day": {"2026-01-05": 3},
        "ids": ["00000000-0000-0000-0000-000000000007"],
        "flags": [True, 3, 0.5, None, None],
    }
