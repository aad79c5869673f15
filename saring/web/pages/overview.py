"""The first page: the state of the work, and what needs attention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi.responses import Response

from pipeline.store.gauges import read_gauges
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.actions.annotators import quality_figures
from saring.actions.attention import needs_attention
from saring.actions.attention_facts import read_facts
from saring.actions.outlook import outlook
from saring.actions.overview import agreement, answers_a_day, label_counts
from saring.web.figures import Figure
from saring.web.pages.annotators import NAME as QUALITY
from saring.web.routing import Pages
from saring.web.run_figures import SCHEDULE, last_sent_times
from saring.web.visit import Visit

pages = Pages("")

#: age from which what is known of the scheduler is not told
_LOOKED_AT = timedelta(minutes=5)


@pages.get("/", role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """The state of the work."""
    home = visit.home
    sent = visit.figure(SCHEDULE, last_sent_times, timedelta(seconds=30))
    quality = visit.figure(QUALITY, quality_figures, timedelta(minutes=15))
    with open_session(home.engine) as session:
        work = outlook(session, home.settings)
        facts = read_facts(session, home.settings, careless=_careless(quality), scheduled=_is_scheduled(sent))
    lags = [lag for lag in read_gauges(home.engine, seconds=5).sync_lag.values() if lag is not None]
    return visit.page(
        "overview/index.html",
        work=work,
        items=needs_attention(facts),
        lag=max(lags) if lags else None,
        labels=visit.figure("overview.labels", label_counts, timedelta(minutes=5), wait=0.15),
        days=visit.figure("overview.days", answers_a_day, timedelta(minutes=2), wait=0.15),
        agreement=visit.figure("overview.agreement", agreement, timedelta(minutes=10), wait=0.15),
    )


def _careless(quality: Figure) -> list[str] | None:
    """Volunteers whose answers look careless and still count; None: not computed yet."""
    if quality.value is None:
        return None
    flagged = set(quality.value["careless"])
    return [each["rater"] for each in quality.value["raters"] if each["rater"] in flagged and not each["excluded"]]


def _is_scheduled(sent: Figure) -> bool | None:
    """True where a scheduler sends jobs; None: that was last looked at too long ago."""
    if sent.value is None or sent.as_of is None or datetime.now(UTC) - sent.as_of > _LOOKED_AT:
        return None
    return bool(sent.value["sending"])
