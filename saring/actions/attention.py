"""Matters that need a person's attention: from facts about a home to sentences, each with what mends it. Pure.

A message has places for values, such as "%(count)s shards", so that a page can translate it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from pipeline.learning.due import News, why_due

#: time since the last backup from which its age is a problem
_OLD_BACKUP = timedelta(days=7)
#: a disk with less free space than both of these is nearly full: bytes, and a share of the disk
_LEAST_FREE, _LEAST_FREE_SHARE = 5_000_000_000, 0.1
#: free bytes from which on work may stop at any moment
_NO_SPACE = 1_000_000_000
#: pulls that may be missed before the lag is a problem, and the least lag that is one, in seconds
_MISSED_PULLS, _LEAST_LAG = 10, 600.0
#: time that a run may wait for a worker to begin it
_LONG_WAIT = timedelta(minutes=2)
#: open tasks below which queued texts should be pushed, where no setting says how many should wait
_FEW_TASKS = 20


class Severity(enum.IntEnum):
    """Weight of an item; the smallest comes first."""

    #: something does not work, or is about to stop
    WRONG = 0
    #: somebody should decide or do something
    WANTED = 1
    #: it may wait, or happens by itself
    NOTE = 2


@dataclass(frozen=True, slots=True)
class Mend:
    """The way to mend something: a page to go to, an act of the window (a POST), or a command to type."""

    kind: Literal["page", "act", "command"]
    #: words for the link or the button
    title: str
    #: the address, from the root of the window on; or the command
    target: str
    #: fields of the act
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """Something that needs attention."""

    #: short fixed name, for programs
    kind: str
    severity: Severity
    #: sentence with places such as %(run)s
    message: str
    mend: Mend
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The message in English."""
        return self.message % self.values


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run that did not go well."""

    id: int
    stage: str
    on_workers: bool
    #: its error; None: it has none
    error: str | None = None
    #: number of its parked shards
    parked: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of a home at one moment. What is not known is None."""

    now: datetime
    has_texts: bool
    #: version of the champion; None: there is none
    champion: str | None
    #: a model newer than the champion that the gate rejected, and the reason
    rejected: str | None
    rejected_why: str | None
    #: name of the vector space in use; None: no text was ever embedded
    space: str | None
    #: True: texts were read after the last embedding began
    texts_to_embed: bool
    #: texts in the queue, unanswered tasks, and open projects
    queued: int
    open_tasks: int
    projects: int
    #: settings of the queue and of the schedule
    queue_low: int
    pull_seconds: float
    retrain_labels: int
    retrain_hours: float
    #: greatest lag of a project in seconds; None: no project was ever pulled
    lag: float | None
    #: judgements by people since the last training
    news: News
    #: stages whose last run on a slice failed lately, and runs with parked shards
    failed: Sequence[RunFact] = ()
    parked: Sequence[RunFact] = ()
    #: time since which the oldest request waits for a worker; None: none waits
    waiting_since: datetime | None = None
    #: deletions that wait for a decision
    deletions: int = 0
    #: raters that the rule flags as careless, by the id of their account; None: not computed
    careless: Sequence[str] | None = None
    #: time of the last backup; None: there was none
    backup_at: datetime | None = None
    #: free and all bytes of the home's disk
    disk_free: int | None = None
    disk_total: int | None = None
    #: False: no scheduler sends the regular jobs; None: not known
    scheduled: bool | None = None


def needs_attention(facts: Facts) -> list[Item]:
    """The items that need attention, the most important first. An empty list: nothing does."""
    items = [
        *_machine(facts),
        *_runs(facts),
        *_texts(facts),
        *_people(facts),
        *_models(facts),
        *_backup(facts),
    ]
    return sorted(items, key=lambda item: item.severity)


def _start(stage: str, title: str) -> Mend:
    return Mend("act", title, f"/runs/start/{stage}")


def _machine(facts: Facts) -> Iterator[Item]:
    free, total = facts.disk_free, facts.disk_total
    if free is not None and total and free < _LEAST_FREE and free < _LEAST_FREE_SHARE * total:
        severity = Severity.WRONG if free < _NO_SPACE else Severity.WANTED
        message = "The disk is nearly full: %(free)s GB of %(total)s GB are free."
        values = {"free": f"{free / 1e9:.1f}", "total": f"{total / 1e9:.0f}"}
        yield Item("disk-low", severity, message, Mend("command", "Look for what takes space", "saring doctor"), values)
    if facts.scheduled is False:
        message = "No scheduler runs, so nothing is pulled, trained or refilled by itself."
        yield Item("no-schedule", Severity.WRONG, message, Mend("command", "Start everything", "saring up"))
    since = facts.waiting_since
    if since is not None and facts.now - since > _LONG_WAIT:
        message = "A run waits since %(since)s UTC: no worker has begun it."
        values = {"since": f"{since.astimezone(UTC):%Y-%m-%d %H:%M}"}
        yield Item("no-worker", Severity.WRONG, message, Mend("command", "Start the workers", "saring up"), values)


def _runs(facts: Facts) -> Iterator[Item]:
    for run in facts.failed:
        message = "The last run of %(stage)s failed (run %(run)s): %(error)s"
        values = {"stage": run.stage, "run": run.id, "error": run.error or "-"}
        again = Mend("act", "Try again", f"/runs/{run.id}/resume")
        look = Mend("page", "Look at the run", f"/runs/{run.id}")
        yield Item("run-failed", Severity.WRONG, message, again if run.on_workers else look, values)
    for run in facts.parked:
        message = "Parked shards of run %(run)s (%(stage)s): %(count)s. %(error)s"
        values = {"stage": run.stage, "run": run.id, "count": f"{run.parked:,}", "error": run.error or "-"}
        mend = Mend("act", "Try the parked shards again", f"/runs/{run.id}/resume")
        yield Item("shards-parked", Severity.WRONG, message, mend, values)


def _texts(facts: Facts) -> Iterator[Item]:
    if not facts.has_texts:
        message = "The store has no texts."
        mend = Mend("page", "Ingest a file", "/runs/start/ingest")
        yield Item("no-texts", Severity.WANTED, message, mend)
    elif facts.space is None:
        message = "No text has a vector, so nothing can be filtered, searched by likeness or drawn apart."
        yield Item("no-vectors", Severity.WANTED, message, _start("embed", "Embed all texts"))
    elif facts.texts_to_embed:
        message = "Texts were read after the last embedding: they have no vectors."
        yield Item("texts-to-embed", Severity.NOTE, message, _start("embed", "Embed them"))


def _people(facts: Facts) -> Iterator[Item]:
    limit = max(_LEAST_LAG, _MISSED_PULLS * facts.pull_seconds)
    if facts.projects and (facts.lag is None or facts.lag > limit):
        message = "Answers in Label Studio were last copied at %(at)s UTC."
        values = {"at": f"{facts.now.astimezone(UTC) - timedelta(seconds=facts.lag or 0):%Y-%m-%d %H:%M}"}
        if facts.lag is None:
            message, values = "Answers in Label Studio were never copied.", {}
        yield Item("sync-lag", Severity.WRONG, message, _start("pull", "Pull now"), values)
    few = max(facts.queue_low, _FEW_TASKS)
    if facts.projects and facts.queued and facts.open_tasks < few:
        message = "Open tasks: %(open)s. Texts that wait in the queue to be pushed: %(queued)s."
        values = {"open": f"{facts.open_tasks:,}", "queued": f"{facts.queued:,}"}
        yield Item("push-wanted", Severity.WANTED, message, _start("push", "Push them"), values)
    elif facts.has_texts and not facts.queued and facts.open_tasks < few:
        message = "The queue is empty. Open tasks: %(open)s."
        values = {"open": f"{facts.open_tasks:,}"}
        yield Item("queue-empty", Severity.WANTED, message, _start("queue", "Build the queue"), values)
    elif facts.has_texts and facts.queue_low and facts.queued + facts.open_tasks < facts.queue_low:
        message = "Texts left for people: %(left)s, fewer than SARING_QUEUE_LOW (%(low)s)."
        values = {"left": f"{facts.queued + facts.open_tasks:,}", "low": f"{facts.queue_low:,}"}
        yield Item("queue-low", Severity.WANTED, message, _start("queue", "Build the queue"), values)
    if facts.deletions:
        message = "Deletions of others' annotations that wait for a decision: %(count)s."
        mend = Mend("command", "Decide on them", "saring sync deletions")
        yield Item("deletions", Severity.WANTED, message, mend, {"count": f"{facts.deletions:,}"})
    if facts.careless:
        message = "The answers of some annotators look careless: %(raters)s."
        values = {"raters": ", ".join(f"#{rater}" for rater in facts.careless)}
        mend = Mend("page", "Look at their answers", "/annotators")
        yield Item("careless", Severity.WANTED, message, mend, values)


def _models(facts: Facts) -> Iterator[Item]:
    due = why_due(facts.news, labels=facts.retrain_labels, hours=facts.retrain_hours, now=facts.now)
    if facts.champion is None and facts.has_texts:
        message = "No model serves: there is no champion."
        yield Item("no-champion", Severity.WANTED, message, Mend("page", "Train a model", "/runs/start/train"))
    elif due is not None:
        message = "A training is due. New judgements by people: %(count)s."
        values = {"count": f"{facts.news.judgements:,}"}
        yield Item("retrain-due", Severity.NOTE, message, Mend("act", "Retrain now", "/runs/retrain"), values)
    if facts.rejected is not None:
        message = "The gate rejected the newest model, %(model)s: %(why)s"
        values = {"model": facts.rejected, "why": facts.rejected_why or "-"}
        mend = Mend("page", "Compare it with the champion", "/models")
        yield Item("gate-rejected", Severity.WANTED, message, mend, values)


def _backup(facts: Facts) -> Iterator[Item]:
    mend = Mend("command", "Make one", "saring backup FOLDER")
    if not facts.has_texts:
        return
    if facts.backup_at is None:
        yield Item("no-backup", Severity.WANTED, "No backup was made from this home.", mend)
    elif facts.now - facts.backup_at > _OLD_BACKUP:
        message = "The last backup was made at %(at)s UTC."
        yield Item(
            "old-backup", Severity.WANTED, message, mend, {"at": f"{facts.backup_at.astimezone(UTC):%Y-%m-%d %H:%M}"}
        )
