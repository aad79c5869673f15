"""The page /me: a volunteer's own work, wishes, and consent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.volunteers import agree as agree_to_terms
from saring.accounts.volunteers import find_volunteer, set_wishes
from saring.actions import norming
from saring.actions.annotators import quality_figures
from saring.actions.practice import TEST
from saring.actions.volunteer_figures import own_work
from saring.actions.volunteers import leave as take_back
from saring.web.pages.annotators import NAME as QUALITY
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor
from sync.quality.divided import monday

pages = Pages("me")


@pages.get(role=Role.VOLUNTEER)
def index(visit: Visit) -> Response:
    """One's own page."""
    return visit.page("me/index.html", **_values(visit))


@pages.post("/wishes", role=Role.VOLUNTEER, act="me.wishes")
def wishes(
    visit: Visit,
    avoid: Annotated[list[str] | None, Form()] = None,
    daily_cap: Annotated[str, Form(max_length=10)] = "",
    break_minutes: Annotated[int, Form()] = 20,
) -> Response:
    """Remember what the person would rather not see, and how much they want."""
    if daily_cap.strip() and not daily_cap.strip().isdecimal():
        message = visit.say("Write the most answers a day as a number, or leave it empty.")
        return visit.wrong(message, "me/index.html", **_values(visit))
    known = [key for key in avoid or () if key in visit.home.taxonomy]
    cap = int(daily_cap) if daily_cap.strip() else None
    try:
        with visit.home.begin() as session:
            set_wishes(session, visit.account.id, avoid=known, daily_cap=cap, break_minutes=break_minutes)
    except UsageError as error:
        return visit.wrong(str(error), "me/index.html", **_values(visit))
    return visit.done("/me", visit.say("Saved. It counts from the next texts on."))


@pages.post("/leave", role=Role.VOLUNTEER, act="me.leave")
def leave(visit: Visit, sure: Annotated[str, Form()] = "") -> Response:
    """Take the consent back."""
    if not sure:
        return visit.wrong(visit.say("Tick that you are sure."), "me/index.html", **_values(visit))
    take_back(visit.home, visit.account.id)
    return visit.done("/me", visit.say("Your consent is taken back. Thank you for what you did."))


@pages.post("/agree", role=Role.VOLUNTEER, act="me.agree")
def agree(visit: Visit, agreed: Annotated[str, Form()] = "") -> Response:
    """Agree to the terms, for the first time or again."""
    if not agreed:
        return visit.wrong(visit.say("Tick that you agree, or close this page."), "me/index.html", **_values(visit))
    with visit.home.begin() as session:
        agree_to_terms(session, visit.account.id)
    return visit.done("/me", visit.say("Thank you. A maintainer lets you in."))


def _values(visit: Visitor) -> dict[str, Any]:
    with open_session(visit.home.engine) as session:
        state = find_volunteer(session, visit.account.id)
    work = own_work(visit.home, visit.account.id) if state is not None else None
    slips = state is not None and _slips(visit, state.person.rater)
    return {"state": state, "work": work, "refresher": slips, "norming": _norming(visit)}


def _norming(visit: Visitor) -> dict[str, int] | None:
    """The number of texts of this week that wait for the person; None: none was chosen, or they may not take part."""
    topics = norming.topics(visit.home, visit.account.id, monday(datetime.now(UTC)))
    return {"open": sum(not topic.voted and topic.hidden is None for topic in topics)} if topics else None


def _slips(visit: Visitor, rater: str | None) -> bool:
    """True where planted tasks, whose answer is known, show that the person does worse than the practice asks for.

    It is the stored report of /annotators, so that nothing waits for it.
    """
    report = visit.figure(QUALITY, quality_figures, timedelta(minutes=15)).value
    own = next((row for row in report["raters"] if row["rater"] == rater), None) if report else None
    exact = own["planted"]["exact"] if own is not None else None
    return exact is not None and exact["high"] < TEST.good
