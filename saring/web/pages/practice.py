"""The page /practice: texts whose answer is known, and is shown after each."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form
from fastapi.responses import Response

from pipeline.store.tables.accounts import Role
from saring.actions.practice import check, practice
from saring.web.routing import Pages
from saring.web.visit import Visit

pages = Pages("practice")


@pages.get(role=Role.VOLUNTEER)
def index(visit: Visit) -> Response:
    """The text that comes next."""
    return visit.page("practice/index.html", practice=practice(visit.home, visit.account.id))


@pages.post(role=Role.VOLUNTEER, act="practice.answer")
def answer(
    visit: Visit,
    round: Annotated[int, Form(ge=1, le=10_000)],
    place: Annotated[int, Form(ge=1, le=10_000)],
    labels: Annotated[list[str] | None, Form(max_length=100)] = None,
) -> Response:
    """Look at an answer, and show the right one."""
    checked = check(visit.home, visit.account.id, round, place, labels or ())
    if checked is None:
        return visit.done("/practice")
    chosen = [key for key in labels or () if key in visit.home.taxonomy]
    # the catalogue has the built-in taxonomy's; of another one, a reason stays as it was written
    why = visit.say(checked.question.why) if checked.question.why else ""
    return visit.page("practice/checked.html", checked=checked, chosen=chosen, why=why)
