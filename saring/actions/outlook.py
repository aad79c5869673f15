"""The state of the work, for the person who looks after it: what serves, what waits, what is due, what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.learning.due import News, news_since_training, why_due
from pipeline.models.purposes import LABELS
from pipeline.plural import counted
from pipeline.settings import Settings
from saring.services.backup_note import last_backup

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: time since the last backup from which its age is a problem
_OLD_BACKUP = timedelta(days=7)
#: time in which a failed run is news
_RECENT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The state of the work at one moment."""

    #: version of the champion, and when it was trained; None: there is none
    champion: str | None
    champion_at: datetime | None
    #: texts that wait to be pushed, tasks in Label Studio that nobody answered, and answered ones
    queued: int
    open_tasks: int
    done_tasks: int
    #: judgements by people since the last training; when that was, and when the next is due, in words
    answers: int
    trained_at: datetime | None
    next_training: str
    #: tasks that wait for another person, because people disagree or could not decide
    disagreements: int
    #: time and place of the last backup; None: none was made from this home
    backup_at: datetime | None
    backup: str | None
    #: what is wrong, a sentence each
    wrong: Sequence[str]


def outlook(session: Session, settings: Settings, *, now: datetime | None = None) -> Outlook:
    """Read the state of the work. Nothing is started or changed."""
    from sqlalchemy import and_, exists, func, select

    from pipeline import store
    from pipeline.store.tables.core import ModelState
    from pipeline.store.tables.human_loop import QueueState, TaskState

    now = now or datetime.now(UTC)
    m, t, q, a = store.Model, store.Task, store.QueueItem, store.Annotation
    champion = session.execute(
        select(m.version, m.created_at).where(m.purpose == LABELS, m.state == ModelState.CHAMPION)
    ).one_or_none()
    tasks = dict(session.execute(select(t.state, func.count()).group_by(t.state)).all())
    queued = session.scalar(select(func.count()).where(q.state == QueueState.QUEUED)) or 0
    answered = exists().where(a.project_id == t.project_id, a.task_id == t.label_studio_id)
    # a paired task asks for two people from the start
    more = and_(t.overlap > 1, ~t.paired) | (t.overlap > 2)
    disagreements = session.scalar(select(func.count()).where(t.state == TaskState.OPEN, more, answered)) or 0
    news = news_since_training(session)
    saved = last_backup(settings.home)
    return Outlook(
        champion=champion.version if champion is not None else None,
        champion_at=champion.created_at if champion is not None else None,
        queued=queued,
        open_tasks=tasks.get(TaskState.OPEN, 0) + tasks.get(TaskState.PUSHING, 0),
        done_tasks=tasks.get(TaskState.DONE, 0),
        answers=news.judgements,
        trained_at=news.trained_at,
        next_training=next_training(news, labels=settings.retrain_labels, hours=settings.retrain_hours, now=now),
        disagreements=disagreements,
        backup_at=saved.at if saved is not None else None,
        backup=saved.archive if saved is not None else None,
        wrong=[
            *_failed_runs(session, now),
            # an empty home needs no backup
            *(_no_backup(saved.at if saved is not None else None, now) if tasks or news.trained_at else []),
        ],
    )


def next_training(news: News, *, labels: int, hours: float, now: datetime) -> str:
    """When the next training is due, in words. Pure.

    Args:
        news: answers since the last training.
        labels: number of answers from which it is due; 0: never by number.
        hours: time since the last training from which it is due, if there are answers; 0: never by time.
        now: the present.
    """
    if why_due(news, labels=labels, hours=hours, now=now) is not None:
        return "due now"
    ways = []
    if labels:
        ways.append(f"after {counted(max(0, labels - news.judgements), 'more answer')}")
    began = news.trained_at or news.first_at
    if hours and began is not None:
        due = began + timedelta(hours=hours)
        at = f"{due.astimezone():%Y-%m-%d %H:%M}"
        ways.append(f"at {at}" if news.judgements else f"at the first answer after {at}" if due > now else "")
    ways = [way for way in ways if way]
    if not ways:
        return "only by hand" if not labels and not hours else "at the first answer"
    return " or ".join(ways)


def _failed_runs(session: Session, now: datetime) -> list[str]:
    """Stages whose newest run failed within a day, and parked shards."""
    from sqlalchemy import func, select

    from pipeline import store
    from pipeline.store.tables.core import RunState
    from pipeline.store.tables.work import ShardState

    r, s = store.Run, store.Shard
    newest = select(func.max(r.id)).where(r.started_at > now - _RECENT).group_by(r.stage, r.slice)
    failed = session.execute(
        select(r.id, r.stage).where(r.id.in_(newest), r.state == RunState.FAILED).order_by(r.id)
    ).all()
    wrong = [f"the last run of {stage} failed: `saring runs show {run}`" for run, stage in failed]
    parked = session.execute(
        select(s.run_id, func.count())
        .join(r, r.id == s.run_id)
        .where(s.state == ShardState.PARKED, r.state != RunState.CANCELLED, r.started_at > now - _RECENT)
        .group_by(s.run_id)
        .order_by(s.run_id)
    ).all()
    wrong += [
        f"{counted(count, 'shard')} of run {run} failed again and again: `saring runs show {run}`"
        for run, count in parked
    ]
    return wrong


def _no_backup(at: datetime | None, now: datetime) -> list[str]:
    if at is None:
        return ["no backup was made from this home: `saring backup FOLDER`"]
    if now - at > _OLD_BACKUP:
        return [f"the last backup is {(now - at).days} days old: `saring backup FOLDER`"]
    return []
