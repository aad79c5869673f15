"""The schedule of trainings: due after enough new judgements by people, or after enough time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.plural import counted
from pipeline.store.tables.core import RunState

#: time after a failed training before the next starts by itself
_PAUSE = timedelta(minutes=10)
#: error of a training with too few labels: it counts as a training, and the next waits for more judgements
_TOO_LITTLE = "NotEnoughLabels%"
#: error of a killed process: its training starts again at once
_CUT_SHORT = "the process ended"


@dataclass(frozen=True, slots=True)
class News:
    """New judgements by people since the last training."""

    judgements: int
    #: start of the last training; None: there was none
    trained_at: datetime | None
    #: time of the first new judgement
    first_at: datetime | None
    #: time when the last attempt failed or was cancelled; None: it did not fail
    failed_at: datetime | None


def news_since_training(session: Session, purpose: str = "sfw") -> News:
    """New judgements by people since the last training of a purpose."""
    r, j, rater = store.Run, store.Judgement, store.Rater
    of_purpose = (r.stage == "train", r.slice == purpose)
    trained_at = session.scalar(
        select(func.max(r.started_at)).where(*of_purpose, or_(r.state == RunState.DONE, r.error.like(_TOO_LITTLE)))
    )
    since = [] if trained_at is None else [j.created_at > trained_at]
    # as numbers: the database knows how much each of them said, and looks for it by the index
    people = session.scalars(select(rater.id).where(rater.kind == RaterKind.HUMAN)).all()
    count, first_at = session.execute(
        select(func.count(), func.min(j.created_at)).where(j.rater_id.in_(people), ~j.withdrawn, *since)
    ).one()
    last = session.scalars(select(r).where(*of_purpose).order_by(r.id.desc()).limit(1)).first()
    failed = (
        last is not None
        and last.state in (RunState.FAILED, RunState.CANCELLED)
        and not (last.error or "").startswith(_CUT_SHORT)
    )
    return News(count, trained_at, first_at, last.finished_at if last is not None and failed else None)


def why_due(news: News, *, labels: int, hours: float, now: datetime) -> str | None:
    """The reason why a training is due, in words; None where it is not.

    Args:
        news: the new judgements.
        labels: number of new judgements from which it is due; 0: never by number.
        hours: time since the last training, or since the first judgement if there was none; 0: never by time.
        now: the present.
    """
    if not news.judgements or (news.failed_at is not None and now - news.failed_at < _PAUSE):
        return None
    if labels and news.judgements >= labels:
        return _by_people(news.judgements)
    began = news.trained_at or news.first_at
    if hours and began is not None and now - began >= timedelta(hours=hours):
        return f"{_by_people(news.judgements)}, and {hours:g} {'hour has' if hours == 1 else 'hours have'} passed"
    return None


def _by_people(judgements: int) -> str:
    return f"{counted(judgements, 'new judgement')} by people"
