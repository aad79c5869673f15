"""The page /volunteers/norming: the texts of the week for maintainers, who settle them and note what that changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Form, Request
from fastapi.responses import Response

from pipeline.errors import ReviewError, UsageError
from pipeline.review.reasons import Ground
from pipeline.store.tables.accounts import Role
from saring.actions import norming, norming_review, review
from saring.web.review_words import GROUNDS
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor
from sync.quality.divided import monday

pages = Pages("volunteers/norming")
#: beginning of the names of fields with a label's mark
_MARK = "mark:"


async def _marks(request: Request) -> Mapping[str, str]:
    """The marks of a form: label to `yes`, `no`, or nothing."""
    form = await request.form()
    return {name.removeprefix(_MARK): str(value) for name, value in form.items() if name.startswith(_MARK)}


@pages.get(role=Role.MAINTAINER)
def index(visit: Visit, week: date | None = None) -> Response:
    """The texts of a week, what was said of them, and who took part."""
    return visit.page("norming/review.html", **_values(visit, week))


@pages.post("/{week}/{place}/settle", role=Role.MAINTAINER, act="norming.settle")
def settle(
    visit: Visit,
    week: date,
    place: int,
    marks: Annotated[Mapping[str, str], Depends(_marks)],
    ground: Annotated[str, Form()] = "",
) -> Response:
    """Settle a text."""
    try:
        settled = norming_review.settle(
            visit.home,
            visit.account.id,
            week,
            place,
            yes=[label for label, value in marks.items() if value == "yes"],
            no=[label for label, value in marks.items() if value == "no"],
            ground=ground,
        )
    except (ReviewError, UsageError) as error:
        status = 409 if isinstance(error, ReviewError) else 422
        return visit.wrong(str(error), "norming/review.html", status=status, **_values(visit, week))
    visit.note(judgement=settled.judgement)
    return visit.done(f"/volunteers/norming?week={week}", visit.say("Settled. Those who answered see it."))


@pages.post("/{week}/{place}/note", role=Role.MAINTAINER, act="norming.note")
def note(visit: Visit, week: date, place: int, words: Annotated[str, Form(max_length=20_000)] = "") -> Response:
    """Keep what the answer of a text changes in the guidelines."""
    try:
        norming_review.note(visit.home, week, place, words)
    except UsageError as error:
        return visit.wrong(str(error), "norming/review.html", **_values(visit, week))
    return visit.done(f"/volunteers/norming?week={week}", visit.say("Saved. Those who answered see it."))


@pages.post("/words/{vote_id}/remove", role=Role.MAINTAINER, act="norming.remove_words")
def remove(visit: Visit, vote_id: UUID, week: Annotated[date, Form()]) -> Response:
    """Remove the words of a reason, which names somebody or hurts."""
    norming_review.remove_words(visit.home, vote_id)
    return visit.done(f"/volunteers/norming?week={week}", visit.say("These words are removed. The answer stays."))


def _values(visit: Visitor, week: date | None) -> dict[str, Any]:
    weeks = norming.weeks(visit.home)
    chosen = week or monday(datetime.now(UTC))
    return {
        "watched": norming_review.watched(visit.home, chosen),
        "weeks": weeks,
        "public": lambda text_id: review.public_id(visit.home, text_id),
        # own words of a reviewer are not for everybody: there is the note
        "grounds": {ground: words for ground, words in GROUNDS.items() if ground is not Ground.OTHER},
        "longest": norming_review.LONGEST_NOTE,
    }
