"""The page /me: a volunteer's own work, wishes, and consent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.volunteers import BREAKS, CAPS, find_volunteer, set_wishes
from saring.accounts.volunteers import agree as agree_to_terms
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """The form of wishes, as it is kept or as somebody filled it in."""

    avoid: tuple[str, ...]
    #: empty: no limit
    daily_cap: str
    break_minutes: str


@pages.get(role=Role.VOLUNTEER)
def index(visit: Visit) -> Response:
    """One's own page."""
    return visit.page("me/index.html", **_values(visit))


@pages.post("/wishes", role=Role.VOLUNTEER, act="me.wishes")
def wishes(
    visit: Visit,
    avoid: Annotated[list[str] | None, Form()] = None,
    daily_cap: Annotated[str, Form(max_length=100)] = "",
    break_minutes: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Remember what the person would rather not see, and how much they want."""
    known = [key for key in avoid or () if key in visit.home.taxonomy]
    wanted = Wanted(tuple(known), daily_cap.strip(), break_minutes.strip())
    problem = None
    if wanted.daily_cap and not _is_within(wanted.daily_cap, CAPS):
        problem = visit.say("Write the most answers a day as a number from 1 to 10,000, or leave it empty.")
    elif not _is_within(wanted.break_minutes, BREAKS):
        problem = visit.say("Write the minutes until a break as a number from 5 to 120.")
    if problem is not None:
        return visit.wrong(problem, "me/index.html", **_values(visit, wanted))
    cap = int(wanted.daily_cap) if wanted.daily_cap else None
    try:
        with visit.home.begin() as session:
            set_wishes(session, visit.account.id, avoid=known, daily_cap=cap, break_minutes=int(wanted.break_minutes))
    except UsageError as error:
        return visit.wrong(str(error), "me/index.html", **_values(visit, wanted))
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
        state = find_volunteer(session, visit.account.id)
    if state is not None and state.may_label:
        return visit.done("/me", visit.say("Thank you. You can label now."))
    return visit.done("/me", visit.say("Thank you. A maintainer lets you in."))


def _is_within(number: str, range_: tuple[int, int]) -> bool:
    least, most = range_
    return number.isdecimal() and least <= int(number) <= most


def _values(visit: Visitor, wanted: Wanted | None = None) -> dict[str, Any]:
    with open_session(visit.home.engine) as session:
        state = find_volunteer(session, visit.account.id)
    if wanted is None and state is not None:
        wanted = Wanted(state.avoid, str(state.daily_cap or ""), str(state.break_minutes))
    work = own_work(visit.home, visit.account.id) if state is not None else None
    slips = state is not None and _slips(visit, state.person.rater)
    return {"state": state, "wanted": wanted, "work": work, "refresher": slips, "norming": _norming(visit)}


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
