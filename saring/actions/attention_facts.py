"""Facts for `saring.actions.attention`, read from the store and the disk in some short queries.

None of them counts texts or judgements as a whole: a page asks for them at every visit.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from pipeline import store
from pipeline.learning.due import news_since_training
from pipeline.models.purposes import LABELS
from pipeline.settings import Settings
from pipeline.store.gauges import sync_lag
from pipeline.store.tables.core import ModelState, RunState
from pipeline.store.tables.human_loop import InterventionKind, ProjectState, QueueState, TaskState
from pipeline.store.tables.work import ShardState
from pipeline.vectors.spaces import active_space
from saring.actions.attention import Facts, RunFact
from saring.services.backup_note import last_backup

#: time in which a failed run, or one with parked shards, is news
_RECENT = timedelta(days=7)
#: failed runs and runs with parked shards that are named
_MOST = 10
#: stages that read texts, and the one that embeds them
_READING, _EMBED = ("ingest", "import"), "embed"


def read_facts(
    session: Session,
    settings: Settings,
    *,
    careless: Sequence[str] | None = None,
    scheduled: bool | None = None,
    now: datetime | None = None,
) -> Facts:
    """Read the facts of a home. Nothing is started or changed.

    Args:
        session: an open session.
        settings: the settings of the home.
        careless: raters that the rule flags, which takes too long to compute here; None: not known.
        scheduled: False: no scheduler sends jobs, which only the broker knows; None: not known.
        now: the time; None: the clock's.
    """
    now = now or datetime.now(UTC)
    m, q, t, i = store.Model, store.QueueItem, store.Task, store.Intervention
    champion = session.execute(
        select(m.version, m.created_at).where(m.purpose == LABELS, m.state == ModelState.CHAMPION)
    ).one_or_none()
    newest = session.execute(
        select(m.version, m.state, m.reason).where(m.purpose == LABELS).order_by(m.created_at.desc()).limit(1)
    ).one_or_none()
    rejected = newest if newest is not None and newest.state is ModelState.REJECTED else None
    lags = sync_lag(session, now)
    known = [lag for lag in lags.values() if lag is not None]
    waiting = (TaskState.OPEN, TaskState.PUSHING)
    # A removed project's tasks stay open for ever.
    open_projects = select(store.Project.id).where(store.Project.state == ProjectState.OPEN)
    saved = last_backup(settings.home)
    free, total = _disk(settings)
    return Facts(
        now=now,
        has_texts=session.scalar(select(exists().where(store.Text.id.is_not(None)))) or False,
        champion=champion.version if champion is not None else None,
        rejected=rejected.version if rejected is not None else None,
        rejected_why=rejected.reason if rejected is not None else None,
        space=active_space(session),
        texts_to_embed=_texts_to_embed(session),
        queued=session.scalar(select(func.count()).where(q.state == QueueState.QUEUED)) or 0,
        open_tasks=session.scalar(select(func.count()).where(t.state.in_(waiting), t.project_id.in_(open_projects)))
        or 0,
        projects=len(lags),
        queue_low=settings.queue_low,
        pull_seconds=settings.pull_seconds,
        retrain_labels=settings.retrain_labels,
        retrain_hours=settings.retrain_hours,
        lag=max(known) if len(known) == len(lags) and known else None,
        news=news_since_training(session),
        failed=_failed(session, now - _RECENT),
        parked=_parked(session, now - _RECENT),
        waiting_since=session.scalar(
            select(func.min(store.RunRequest.asked_at)).where(store.RunRequest.settled_at.is_(None))
        ),
        deletions=session.scalar(select(func.count()).where(i.kind == InterventionKind.DELETED, i.decision.is_(None)))
        or 0,
        careless=careless,
        backup_at=saved.at if saved is not None else None,
        disk_free=free,
        disk_total=total,
        scheduled=scheduled,
    )


def _texts_to_embed(session: Session) -> bool:
    """True where texts were read after the last embedding of all texts began."""
    r = store.Run
    read = session.scalar(select(func.max(r.finished_at)).where(r.stage.in_(_READING), r.state == RunState.DONE))
    embedded = session.scalar(
        select(func.max(r.started_at)).where(
            r.stage == _EMBED, r.state.in_((RunState.DONE, RunState.RUNNING)), r.params["limit"].astext.is_(None)
        )
    )
    return read is not None and (embedded is None or embedded < read)


def _failed(session: Session, since: datetime) -> list[RunFact]:
    """The runs that failed lately and are the last of their stage on their slice."""
    r, later = store.Run, aliased(store.Run)
    superseded = exists().where(later.stage == r.stage, later.slice == r.slice, later.id > r.id)
    rows = session.execute(
        select(r.id, r.stage, r.on_workers, r.error)
        .where(r.state == RunState.FAILED, r.started_at > since, ~superseded)
        .order_by(r.id.desc())
        .limit(_MOST)
    )
    return [RunFact(*row) for row in rows]


def _parked(session: Session, since: datetime) -> list[RunFact]:
    """Runs that ended with parked shards, and are the last of their stage on their slice."""
    r, s, later = store.Run, store.Shard, aliased(store.Run)
    superseded = exists().where(later.stage == r.stage, later.slice == r.slice, later.id > r.id)
    rows = session.execute(
        select(r.id, r.stage, func.min(s.error), func.count())
        .join(r, r.id == s.run_id)
        .where(s.state == ShardState.PARKED, r.state == RunState.DONE, r.started_at > since, ~superseded)
        .group_by(r.id, r.stage)
        .order_by(r.id.desc())
        .limit(_MOST)
    )
    return [RunFact(run, stage, True, error, count) for run, stage, error, count in rows]


def _disk(settings: Settings) -> tuple[int | None, int | None]:
    try:
        usage = shutil.disk_usage(settings.home)
    except OSError:
        return None, None
    return usage.free, usage.total
