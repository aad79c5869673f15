"""Whether a training is due: enough new judgements by people, or time enough since the last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.store.tables.core import RunState

#: a training that failed is not begun again by itself before this is over
_PAUSE = timedelta(minutes=10)
#: there was too little to learn from: it was a training all the same, and waits for more
_TOO_LITTLE = "NotEnoughLabels%"
#: a process that was killed: its training is begun again
_CUT_SHORT = "the process ended"


@dataclass(frozen=True, slots=True)
class News:
    """What people have said since the last training."""

    judgements: int
    #: when the last training began; None: there was none
    trained_at: datetime | None
    #: when people first said something since
    first_at: datetime | None
    #: when the last attempt failed or was cancelled; None: it was not
    failed_at: datetime | None


def news_since_training(session: Session, purpose: str = "sfw") -> News:
    """What people have said since the last training of a purpose."""
    r, j, rater = store.Run, store.Judgement, store.Rater
    of_purpose = (r.stage == "train", r.slice == purpose)
    trained_at = session.scalar(
        select(func.max(r.started_at)).where(*of_purpose, or_(r.state == RunState.DONE, r.error.like(_TOO_LITTLE)))
    )
    since = [] if trained_at is None else [j.created_at > trained_at]
    count, first_at = session.execute(
        select(func.count(), func.min(j.created_at))
        .join(rater, rater.id == j.rater_id)
        .where(rater.kind == RaterKind.HUMAN, ~j.withdrawn, *since)
    ).one()
    last = session.scalars(select(r).where(*of_purpose).order_by(r.id.desc()).limit(1)).first()
    failed = (
        last is not None
        and last.state in (RunState.FAILED, RunState.CANCELLED)
        and not (last.error or "").startswith(_CUT_SHORT)
    )
    return News(count, trained_at, first_at, last.finished_at if last is not None and failed else None)


def why_due(news: News, *, labels: int, hours: float, now: datetime) -> str | None:
    """Why a training is due, in words; None if it is not.

    Args:
        news: what people have said.
        labels: new judgements from which on it is; 0: never for their number.
        hours: since the last training, or since the first judgement if there was none; 0: never for the time.
        now: the present.
    """
    if not news.judgements or (news.failed_at is not None and now - news.failed_at < _PAUSE):
        return None
    if labels and news.judgements >= labels:
        return f"{news.judgements:,} new judgements by people"
    began = news.trained_at or news.first_at
    if hours and began is not None and now - began >= timedelta(hours=hours):
        return f"{news.judgements:,} new judgements by people, and {hours:g} hours are over"
    return None
