"""When the regular jobs are due: from the settings, kept in the broker by RedBeat, changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from celery import Celery
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import ensure_conf, get_redis

from pipeline.runs.tasks import SWEEP
from pipeline.settings import Settings

#: predictions that another champion wrote are written anew this often, for champions promoted by hand
_PREDICT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Regular:
    """A job that is sent regularly."""

    name: str
    task: str
    #: seconds, or HH:MM in UTC
    every: float | str
    #: in words
    what: str
    #: seconds that it may wait for its turn, if longer than until the next
    patience: float = 0

    @property
    def schedule(self) -> schedule | crontab:
        """As Celery takes it."""
        if isinstance(self.every, str):
            hour, minute = self.every.split(":")
            return crontab(hour=hour, minute=minute)
        return schedule(self.every)

    @property
    def entry(self) -> dict[str, Any]:
        """As Celery's beat takes it. A job that nobody took before the next is due is dropped; where all are busy for
        long, the sweep is the one that must get its turn."""
        options = {} if isinstance(self.every, str) else {"expires": max(self.every, self.patience)}
        return {"task": self.task, "schedule": self.schedule, "options": options}


def regular_jobs(settings: Settings) -> list[Regular]:
    """What is sent regularly under these settings."""
    conditions = []
    if settings.retrain_labels:
        conditions.append(f"{settings.retrain_labels:,} new judgements by people")
    if settings.retrain_hours:
        conditions.append(f"any new after {settings.retrain_hours:g} hours")
    conditions.append("the training button")
    low = (
        f"draw and push {settings.queue_refill:,} texts when fewer than {settings.queue_low:,} wait"
        if settings.queue_low
        else "nothing: SARING_QUEUE_LOW is 0"
    )
    return [
        Regular("pull", "saring.pull", settings.pull_seconds, "bring corrections home from Label Studio"),
        Regular("reconcile", "saring.reconcile", settings.reconcile_at, "compare every annotation with the ledger"),
        Regular("retrain", "saring.retrain", settings.look_seconds, f"retrain on {', or '.join(conditions)}"),
        Regular("refill", "saring.refill", settings.look_seconds, low),
        Regular("predict-ahead", "saring.predict_ahead", _PREDICT_SECONDS, "tick open tasks anew for a new champion"),
        Regular("reembed", "saring.reembed", 4 * settings.look_seconds, "embed all texts anew for a new encoder"),
        Regular("sweep", SWEEP, settings.look_seconds, "send again what was lost on its way to a worker", 300),
    ]


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The jobs as Celery's beat takes them."""
    return {job.name: job.entry for job in regular_jobs(settings)}


def renew_schedule(app: Celery, settings: Settings) -> list[str]:
    """Bring what the broker keeps up to date with the settings; the names of the jobs whose time changed."""
    ensure_conf(app)
    changed = []
    for job in regular_jobs(settings):
        try:
            kept = RedBeatSchedulerEntry.from_key(RedBeatSchedulerEntry.generate_key(app, job.name), app=app)
        except KeyError:
            # nobody has kept the schedule yet, or the broker lost it: beat writes it when it starts
            kept = None
        if kept is not None and kept.schedule == job.schedule:
            continue
        entry = RedBeatSchedulerEntry(job.name, job.task, job.schedule, options=job.entry["options"], app=app)
        entry.last_run_at = kept.last_run_at if kept is not None else None
        entry.save()
        changed.append(job.name)
    return changed


def last_sent(app: Celery) -> Mapping[str, datetime | None] | None:
    """When each job was last sent, as the broker knows it; None if it cannot be asked, or nobody keeps the schedule."""
    ensure_conf(app)
    try:
        if not get_redis(app).exists(app.redbeat_conf.schedule_key):
            return None
        found: dict[str, datetime | None] = {}
        for name in app.conf.beat_schedule:
            try:
                entry = RedBeatSchedulerEntry.from_key(RedBeatSchedulerEntry.generate_key(app, name), app=app)
            except KeyError:
                continue
            at = entry.last_run_at
            found[name] = at.astimezone(UTC) if at is not None else None
    except redis.RedisError:
        return None
    return found
