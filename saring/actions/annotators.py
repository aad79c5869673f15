"""Annotators: how well they work, how much harsh content they meet, and whether their judgements count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.measure.plain import plain
from pipeline.store.session import open_session
from saring.context import Context
from sync.quality import exclusion
from sync.quality.exclusion import Exclusion

if TYPE_CHECKING:
    from sync.quality.report import QualityReport

#: days of work that pages show
DAYS = 60


@dataclass(frozen=True, slots=True)
class Standing:
    """State of one volunteer: do their judgements count, and which decisions were made on that."""

    #: Label Studio user id
    rater: str
    #: time of the exclusion, and the reason; None: their judgements count
    excluded_at: datetime | None
    why: str | None
    #: decisions of the past, oldest first: `at`, `excluded`, `why`
    history: Sequence[dict[str, Any]] = field(default=())


def quality(home: Context, *, project: int | None = None, since: datetime | None = None) -> QualityReport:
    """Measure the volunteers' work; see `sync.quality.report.quality_report`. It reads every annotation.

    Args:
        home: the home with the store.
        project: our id of a project; None: all.
        since: use only annotations from this moment on; None: all.
    """
    from sync.quality.report import quality_report

    with open_session(home.engine) as session:
        rng = np.random.default_rng(home.settings.seed)
        return quality_report(session, home.taxonomy, project=project, since=since, rng=rng)


def quality_figures(home: Context) -> dict[str, Any]:
    """The report on volunteers as plain values for a page.

    Returns:
        The report's fields, of `days` the last `DAYS` on which somebody worked; `careless`; `by_day`, for each of
        these days `day`, `tasks` and `harsh` of all volunteers together; `harsh_minutes` of each volunteer, over all
        days.
    """
    report = quality(home)
    minutes: dict[str, float] = {}
    for day in report.days:
        minutes[day.rater] = minutes.get(day.rater, 0.0) + day.harsh_minutes
    worked = sorted({day.day for day in report.days})[-DAYS:]
    recent = [day for day in report.days if worked and day.day >= worked[0]]
    by_day: dict[date, dict[str, Any]] = {day: {"day": day.isoformat(), "tasks": 0, "harsh": 0} for day in worked}
    for day in recent:
        by_day[day.day]["tasks"] += day.tasks
        by_day[day.day]["harsh"] += day.harsh
    values: dict[str, Any] = plain(report)
    return values | {
        "days": plain(recent),
        "careless": list(report.careless),
        "by_day": list(by_day.values()),
        "harsh_minutes": minutes,
    }


def standings(home: Context) -> dict[str, Standing]:
    """The state of each volunteer, by Label Studio user id."""
    with open_session(home.engine) as session:
        return {
            rater.version: Standing(
                rater.version, rater.excluded_at, rater.excluded_why, tuple(rater.details.get(exclusion.HISTORY, ()))
            )
            for rater in exclusion.volunteers(session)
        }


def names(home: Context) -> dict[str, str]:
    """E-mail addresses of Label Studio's accounts, by user id. The server is not started for this.

    Raises:
        LabelStudioMissing: it does not run.
    """
    from pipeline.errors import LabelStudioMissing
    from saring.actions.projects import connect
    from saring.services.status import loop_status

    if loop_status(home.settings)[0].state != "ready":
        raise LabelStudioMissing("Label Studio does not run, so it cannot tell names: start it with `saring up`")
    with connect(home) as client:
        return {str(user.id): str(user.email) for user in client.users()}


def exclude(home: Context, rater: str, *, reason: str, now: datetime | None = None) -> Exclusion:
    """Leave out what a volunteer said and will say, until they are included again. The ledger keeps it.

    Raises:
        UsageError: no annotation of this volunteer was pulled, or no reason is given.
    """
    return exclusion.exclude(home.engine, rater, why=reason, now=now or datetime.now(UTC))


def include(home: Context, rater: str, *, reason: str = "", now: datetime | None = None) -> Exclusion:
    """Take in again what a volunteer said and will say.

    Raises:
        UsageError: no annotation of this volunteer was pulled.
    """
    return exclusion.include(home.engine, rater, why=reason, now=now or datetime.now(UTC))
