"""The schedule of the regular jobs: made from the settings, stored in the broker by RedBeat, changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from celery import Celery
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import ensure_conf, get_redis

from pipeline.plural import counted
from pipeline.runs.tasks import SWEEP
from pipeline.settings import Settings

#: seconds between two checks for predictions of an earlier champion, for champions promoted by hand
_PREDICT_SECONDS = 600.0
#: time of day (UTC) at which drift is measured: night in Malaysia, after the reconciliation
_DRIFT_AT = "20:40"
#: without any job for so many intervals of the most frequent ones, and so many seconds more, no scheduler runs
_SILENT_INTERVALS, _SILENCE = 3, 60


@dataclass(frozen=True, slots=True)
class Regular:
    """A job that is sent regularly."""

    name: str
    task: str
    #: interval in seconds, or time of day as HH:MM in UTC
    every: float | str
    #: description for people
    what: str
    #: seconds that a message may wait for a worker, if longer than the interval
    longest_wait: float = 0

    @property
    def schedule(self) -> schedule | crontab:
        """The schedule in Celery's form."""
        if isinstance(self.every, str):
            hour, minute = self.every.split(":")
            return crontab(hour=hour, minute=minute)
        return schedule(self.every)

    @property
    def entry(self) -> dict[str, Any]:
        """The entry in the form of Celery's beat.

        A message that no worker has taken before the next is due expires. Only the sweep may wait longer, because it is
        needed even when all workers are busy for long.
        """
        options = {} if isinstance(self.every, str) else {"expires": max(self.every, self.longest_wait)}
        return {"task": self.task, "schedule": self.schedule, "options": options}


def regular_jobs(settings: Settings) -> list[Regular]:
    """The regular jobs under these settings."""
    conditions = []
    if settings.retrain_labels:
        conditions.append(counted(settings.retrain_labels, "new judgement by people", "new judgements by people"))
    if settings.retrain_hours:
        conditions.append(f"any new judgement older than {settings.retrain_hours:g} hours")
    conditions.append("the training button")
    low = (
        f"draw and push {counted(settings.queue_refill, 'text')} if fewer than {settings.queue_low:,} are left"
        if settings.queue_low
        else "nothing: SARING_QUEUE_LOW is 0"
    )
    return [
        Regular("pull", "saring.pull", settings.pull_seconds, "copy changed annotations from Label Studio"),
        Regular("reconcile", "saring.reconcile", settings.reconcile_at, "compare every annotation with the ledger"),
        Regular("retrain", "saring.retrain", settings.look_seconds, f"retrain after {', or '.join(conditions)}"),
        Regular("refill", "saring.refill", settings.look_seconds, low),
        Regular("predict-ahead", "saring.predict_ahead", _PREDICT_SECONDS, "renew ticks after a change of champion"),
        Regular("reembed", "saring.reembed", 4 * settings.look_seconds, "embed all texts after a change of encoder"),
        Regular("start", "saring.start", settings.look_seconds, "begin runs that were asked for in a browser"),
        Regular("notices", "saring.notices", settings.look_seconds, "look for what people should know, and send it"),
        Regular("drift", "saring.drift", _DRIFT_AT, "measure drift, and tell people of it"),
        Regular("sweep", SWEEP, settings.look_seconds, "send lost shards to the workers again", 300),
    ]


#: settings that steer each job
_SETTINGS_OF: Mapping[str, tuple[str, ...]] = {
    "pull": ("pull_seconds",),
    "reconcile": ("reconcile_at",),
    "retrain": ("retrain_labels", "retrain_hours", "train_backend", "train_queue", "look_seconds"),
    "refill": ("queue_low", "queue_refill", "look_seconds"),
    "reembed": ("encoder", "look_seconds"),
    "start": ("look_seconds",),
    "sweep": ("look_seconds", "resend_seconds"),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A regular job, when it was sent and when it is sent next."""

    name: str
    #: interval in seconds, or time of day as HH:MM in UTC
    every: float | str
    what: str
    last_sent_at: datetime | None
    #: None: no scheduler runs
    next_at: datetime | None
    #: settings that steer it: variable and value
    settings: Mapping[str, object]


def planned(
    settings: Settings, sent: Mapping[str, datetime | None] | None, *, now: datetime, running: bool | None = None
) -> list[Planned]:
    """The regular jobs with their times. Pure.

    Args:
        settings: the settings in force.
        sent: the time at which each job was last sent (see `last_sent`); None: no scheduler has a schedule.
        now: the time.
        running: whether a scheduler runs; None: as `sent` shows.
    """
    runs = is_sending(settings, sent, now=now) if running is None else running
    return [
        Planned(
            job.name,
            job.every,
            job.what,
            last := (sent or {}).get(job.name),
            next_time(job.every, last, now) if runs else None,
            {f"SARING_{name}".upper(): getattr(settings, name) for name in _SETTINGS_OF.get(job.name, ())},
        )
        for job in regular_jobs(settings)
    ]


def next_time(every: float | str, last: datetime | None, now: datetime) -> datetime:
    """The next time of a job that is sent at an interval in seconds, or daily at HH:MM in UTC. Pure."""
    if isinstance(every, str):
        hour, minute = map(int, every.split(":"))
        today = now.astimezone(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    return max(now, last + timedelta(seconds=every)) if last is not None else now


def is_sending(settings: Settings, sent: Mapping[str, datetime | None] | None, *, now: datetime) -> bool:
    """True where a scheduler sends jobs: the most frequent one was sent lately. Pure."""
    times = [at for at in (sent or {}).values() if at is not None]
    return bool(times) and now - max(times) < timedelta(seconds=_SILENT_INTERVALS * settings.look_seconds + _SILENCE)


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The jobs as Celery's beat takes them."""
    return {job.name: job.entry for job in regular_jobs(settings)}


def renew_schedule(app: Celery, settings: Settings) -> list[str]:
    """Update the schedule in the broker from the settings; the names of the jobs whose time changed."""
    ensure_conf(app)
    changed = []
    for job in regular_jobs(settings):
        try:
            kept = RedBeatSchedulerEntry.from_key(RedBeatSchedulerEntry.generate_key(app, job.name), app=app)
        except KeyError:
            # The broker has no such entry yet, or lost it.
            kept = None
        if kept is not None and kept.schedule == job.schedule:
            continue
        entry = RedBeatSchedulerEntry(job.name, job.task, job.schedule, options=job.entry["options"], app=app)
        entry.last_run_at = kept.last_run_at if kept is not None else None
        entry.save()
        changed.append(job.name)
    return changed


def last_sent(app: Celery) -> Mapping[str, datetime | None] | None:
    """The time at which each job was last sent; None if the broker does not answer or has no schedule."""
    ensure_conf(app)
    try:
        if not get_redis(app).exists(app.redbeat_conf.schedule_key):
            return None
        times: dict[str, datetime | None] = {}
        for name in app.conf.beat_schedule:
            try:
                entry = RedBeatSchedulerEntry.from_key(RedBeatSchedulerEntry.generate_key(app, name), app=app)
            except KeyError:
                continue
            at = entry.last_run_at
            times[name] = at.astimezone(UTC) if at is not None else None
    except redis.RedisError:
        return None
    return times
