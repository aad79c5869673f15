"""The pages /norming: the texts of the week, which divided people: answer blind, then see what others say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import Form, HTTPException
from fastapi.responses import Response

from pipeline.errors import UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.volunteers import AnswerKind
from saring.accounts.volunteers import find_volunteer
from saring.actions import norming
from saring.web.review_words import GROUNDS
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor
from saring.web.words import marked
from sync.quality.divided import monday

pages = Pages("norming")
#: why a text is not shown
HIDDEN = {
    "removed": marked("This text was removed."),
    "avoided": marked("This text may have a label that you would rather not see. It is not shown."),
    "harsh": marked("It may be harsh, and you met enough of such texts today. Look again tomorrow."),
    "cap": marked("That was your last text for today. Thank you! Rest, and come back tomorrow."),
}


@pages.get(role=Role.VOLUNTEER)
def index(visit: Visit) -> Response:
    """The texts of this week."""
    return _week(visit, monday(datetime.now(UTC)))


@pages.get("/{week}", role=Role.VOLUNTEER)
def one_week(visit: Visit, week: date) -> Response:
    """The texts of a week."""
    return _week(visit, week)


@pages.get("/{week}/{place}", role=Role.VOLUNTEER)
def one_text(visit: Visit, week: date, place: int) -> Response:
    """A text, to be answered; who has answered it goes on to what others say."""
    topic = _topic(visit, week, place)
    if topic is None:
        return visit.done("/norming")
    if topic.voted and topic.hidden is None:
        return visit.done(f"/norming/{week}/{place}/heard")
    return visit.page("norming/text.html", **_values(visit, topic))


@pages.post("/{week}/{place}", role=Role.VOLUNTEER, act="norming.vote", private=True)
def vote(
    visit: Visit,
    week: date,
    place: int,
    kind: Annotated[AnswerKind, Form()],
    labels: Annotated[list[str] | None, Form(max_length=100)] = None,
    reason: Annotated[str, Form(max_length=10_000)] = "",
) -> Response:
    """Keep a blind answer."""
    topic = _topic(visit, week, place)
    if topic is None:
        return visit.done("/norming")
    problem = None
    if kind is AnswerKind.LABELS and not labels:
        problem = visit.say("Choose a label, or press one of the other buttons.")
    elif len(" ".join(reason.split())) > norming.LONGEST_REASON:
        problem = visit.say(
            "Your reason is too long: use at most %(number)s characters.", number=norming.LONGEST_REASON
        )
    try:
        kept = problem is None and norming.vote(visit.home, visit.account.id, week, place, kind, labels or (), reason)
    except UsageError:
        # the only other one
        problem = visit.say("Two of these labels exclude each other: take one of them back.")
    if problem is not None:
        typed = {"labels": labels or [], "reason": reason}
        return visit.wrong(problem, "norming/text.html", **_values(visit, topic, **typed))
    return visit.done(f"/norming/{week}/{place}" + ("/heard" if kept else ""))


@pages.get("/{week}/{place}/heard", role=Role.VOLUNTEER)
def heard(visit: Visit, week: date, place: int) -> Response:
    """Show what everybody says of a text, and what was settled; only to those who have answered it."""
    said_of = norming.heard(visit.home, visit.account.id, week, place)
    if said_of is None:
        return visit.done(f"/norming/{week}/{place}")
    others = norming.topics(visit.home, visit.account.id, week)
    following = next((topic.place for topic in others if not topic.voted and topic.hidden is None), None)
    return visit.page("norming/heard.html", heard=said_of, following=following, grounds=GROUNDS)


@pages.post("/{week}/{place}/words", role=Role.VOLUNTEER, act="norming.take_back", private=True)
def take_back(visit: Visit, week: date, place: int) -> Response:
    """Remove the words of one's own reason."""
    norming.take_words_back(visit.home, visit.account.id, week, place)
    return visit.done(f"/norming/{week}/{place}/heard", visit.say("Your words are removed. Your answer stays."))


def _week(visit: Visitor, week: date) -> Response:
    weeks = norming.weeks(visit.home)
    with open_session(visit.home.engine) as session:
        state = find_volunteer(session, visit.account.id)
    may = norming.may_take_part(visit.home, state)
    now = monday(datetime.now(UTC))
    if week != now and week not in weeks:
        raise HTTPException(404)
    return visit.page(
        "norming/index.html",
        week=week,
        now=now,
        weeks=weeks,
        may=may,
        practise=not may and state is not None and state.agreed and state.approved_at is not None,
        topics=norming.topics(visit.home, visit.account.id, week),
        hidden=HIDDEN,
    )


def _topic(visit: Visitor, week: date, place: int) -> norming.Topic | None:
    topics = norming.topics(visit.home, visit.account.id, week)
    return next((topic for topic in topics if topic.place == place), None)


def _values(visit: Visitor, topic: norming.Topic, **typed: Any) -> dict[str, Any]:
    """The values of the page of a text."""
    return {
        "topic": topic,
        "why_not": visit.say(HIDDEN[topic.hidden]) if topic.hidden is not None else None,
        "longest": norming.LONGEST_REASON,
        "labels": [],
        "reason": "",
        **typed,
    }
