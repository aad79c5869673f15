"""The page /annotators: how well volunteers work, what they met, and whether their judgements count."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Form, HTTPException, Query
from fastapi.responses import Response

from pipeline.errors import SaringError
from pipeline.store.tables.accounts import Role
from saring.accounts.people import all_accounts
from saring.actions import annotators
from saring.web import annotator_words
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor

pages = Pages("annotators")

NAME = "annotators.quality"
Reason = Annotated[str, Form(max_length=500)]


@pages.get(role=Role.VIEWER)
def index(visit: Visit, names: Annotated[str, Query(pattern="^(account|email)$")] = "account") -> Response:
    """All volunteers."""
    figure = _figure(visit)
    called, problem = _names(visit, emails=names == "email")
    return visit.page(
        "annotators/index.html",
        figure=figure,
        name=NAME,
        report=figure.value,
        standings=annotators.standings(visit.home),
        called=called,
        days=_days(figure.value),
        problem=problem,
    )


@pages.get("/{rater}", role=Role.VIEWER)
def volunteer(visit: Visit, rater: str) -> Response:
    """One volunteer."""
    return visit.page("annotators/one.html", **_one(visit, rater))


@pages.post("/{rater}/exclude", role=Role.MAINTAINER, act="annotators.exclude")
def exclude(visit: Visit, rater: str, reason: Reason = "") -> Response:
    """Leave out what a volunteer said and will say."""
    if not reason.strip():
        message = visit.say("Give a reason: it is stored with the decision.")
        return visit.wrong(message, "annotators/one.html", **_one(visit, rater))
    exclusion = annotators.exclude(visit.home, rater, reason=_signed(visit, reason))
    visit.note(texts=exclusion.texts)
    return visit.done(f"/annotators/{rater}", visit.say("Their judgements are not used any more."))


@pages.post("/{rater}/include", role=Role.MAINTAINER, act="annotators.include")
def include(visit: Visit, rater: str, reason: Reason = "") -> Response:
    """Take in again what a volunteer said and will say."""
    if not reason.strip():
        message = visit.say("Give a reason: it is stored with the decision.")
        return visit.wrong(message, "annotators/one.html", **_one(visit, rater))
    exclusion = annotators.include(visit.home, rater, reason=_signed(visit, reason))
    visit.note(texts=exclusion.texts)
    return visit.done(f"/annotators/{rater}", visit.say("Their judgements are used again."))


def _figure(visit: Visitor) -> Any:
    return visit.figure(NAME, annotators.quality_figures, timedelta(minutes=15), wait=0.15)


def _one(visit: Visitor, rater: str) -> dict[str, Any]:
    figure = _figure(visit)
    report = figure.value or {"raters": [], "days": []}
    standing = annotators.standings(visit.home).get(rater)
    measured = next((row for row in report["raters"] if row["rater"] == rater), None)
    days = [day for day in report["days"] if day["rater"] == rater]
    if standing is None and measured is None and not days:
        raise HTTPException(404)
    called, _ = _names(visit, emails=False)
    return {
        "figure": figure,
        "name": NAME,
        "rater": rater,
        "called": called.get(rater),
        "measured": measured,
        "signs": [visit.say(annotator_words.SIGNS[finding["sign"]]) for finding in measured["care"]["findings"]]
        if measured
        else [],
        "standing": standing,
        "days": days,
        "harsh_minutes": report["harsh_minutes"].get(rater, 0.0) if figure.value else 0.0,
    }


def _names(visit: Visitor, *, emails: bool) -> tuple[dict[str, str], str | None]:
    """Names of volunteers by user id, for owners only; and what is wrong if they cannot be had."""
    if not visit.allows(Role.OWNER):
        return {}, None
    with visit.home.begin() as session:
        names = {account.rater: account.name for account in all_accounts(session) if account.rater is not None}
    if not emails:
        return names, None
    try:
        return names | annotators.names(visit.home), None
    except SaringError as error:
        return names, str(error)


def _days(report: Mapping[str, Any] | None) -> list[tuple[str, int]]:
    """Tasks on each of the last days on which somebody worked."""
    return [(day["day"], day["tasks"]) for day in report["by_day"]] if report else []


def _signed(visit: Visitor, reason: str) -> str:
    return f"{reason.strip()} ({visit.account.name})"
