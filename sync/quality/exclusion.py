"""Leaving a rater's word out of what is believed, and taking it in again.

The ledger keeps everything that was said. Who is excluded is a maintainer's decision with a reason, never a rule's:
`sync.quality` only names who may be careless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.judgement import RaterKind
from pipeline.store.session import open_session
from sync.pull.apply import RATER

#: where the details of a rater hold all decisions on their exclusion: `at`, `excluded`, `why`
HISTORY = "exclusions"


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
    return _set(engine, rater, now, why.strip(), decision=_decision(now, True, why.strip()))


def include(engine: Engine, rater: str, *, why: str = "", now: datetime | None = None) -> Exclusion:
    """Take in again what a volunteer said and will say.

    Args:
        engine: the store.
        rater: Label Studio user id of the volunteer.
        why: for the record.
        now: for the record; None: the present.

    Raises:
        UsageError: no annotation of this volunteer was pulled.
    """
    return _set(engine, rater, None, None, decision=_decision(now or datetime.now(UTC), False, why.strip()))


def volunteers(session: Session) -> Sequence[store.Rater]:
    """The raters who answer in Label Studio."""
    r = store.Rater
    return session.scalars(select(r).where(r.kind == RaterKind.HUMAN, r.name == RATER).order_by(r.id)).all()


def _decision(at: datetime, excluded: bool, why: str) -> dict[str, Any]:
    return {"at": at.isoformat(timespec="seconds"), "excluded": excluded, "why": why}


def _set(engine: Engine, user: str, at: datetime | None, why: str | None, *, decision: dict[str, Any]) -> Exclusion:
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
        if changed or rater.excluded_why != why:
            rater.details = {**rater.details, HISTORY: [*rater.details.get(HISTORY, ()), decision]}
        rater.excluded_why = why
        texts = session.execute(select(func.count(j.text_id.distinct())).where(j.rater_id == rater.id)).scalar_one()
        return Exclusion(user, at is not None, why, changed, texts)
