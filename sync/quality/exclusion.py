"""Leaving a rater's word out of what is believed, and taking it in again.

The ledger keeps everything that was said. Who is excluded is a maintainer's decision with a reason, never a rule's:
`sync.quality` only names who may be careless.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.errors import UsageError
from pipeline.judgement import RaterKind
from pipeline.store.session import open_session
from sync.pull.apply import RATER


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The state of one rater's exclusion."""

    #: Label Studio user id
    rater: str
    excluded: bool
    why: str | None
    #: whether this call changed it
    changed: bool
    #: texts that the rater judged
    texts: int


def exclude(engine: Engine, rater: str, *, why: str, now: datetime) -> Exclusion:
    """Leave out what a volunteer said and will say, until they are included again.

    Args:
        engine: the store.
        rater: Label Studio user id of the volunteer.
        why: for the record.
        now: for the record.

    Raises:
        UsageError: no annotation of this volunteer was pulled, or no reason is given.
    """
    if not why.strip():
        raise UsageError("a rater is not excluded without a reason: give --reason")
    return _set(engine, rater, now, why.strip())


def include(engine: Engine, rater: str) -> Exclusion:
    """Take in again what a volunteer said and will say.

    Raises:
        UsageError: no annotation of this volunteer was pulled.
    """
    return _set(engine, rater, None, None)


def _set(engine: Engine, user: str, at: datetime | None, why: str | None) -> Exclusion:
    r, j = store.Rater, store.Judgement
    with open_session(engine) as session, session.begin():
        rater = session.scalars(
            select(r).where(r.kind == RaterKind.HUMAN, r.name == RATER, r.version == user).with_for_update()
        ).one_or_none()
        if rater is None:
            known = session.scalars(select(r.version).where(r.kind == RaterKind.HUMAN, r.name == RATER))
            raise UsageError(
                f"nothing that volunteer #{user} said is in the ledger; there are {', '.join(sorted(known)) or 'none'}"
            )
        changed = (rater.excluded_at is None) is not (at is None)
        if changed:
            rater.excluded_at = at
        rater.excluded_why = why
        texts = session.execute(select(func.count(j.text_id.distinct())).where(j.rater_id == rater.id)).scalar_one()
        return Exclusion(user, at is not None, why, changed, texts)
