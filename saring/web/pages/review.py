"""The pages /review: what is in dispute, one text at a time; settle it, undo it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Form, Query, Request
from fastapi.responses import Response

from pipeline.errors import ReviewError, UsageError
from pipeline.review.items import Item, Place
from pipeline.review.reviewer import Reviewer
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.review import DisputeKind
from saring.accounts.people import all_accounts
from saring.actions import review
from saring.web.review_view import keys_of, rows_of, say_rater
from saring.web.review_words import ABOUT, GROUNDS, KINDS, say_reason, say_why
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor

pages = Pages("review")
#: beginning of the names of fields with a label's mark
_MARK = "mark:"
#: counts above are shown as "more than"
_MOST = 10_000
#: header of requests that our script makes, which shows the outcome itself
_BY_SCRIPT = "x-saring-script"


async def _marks(request: Request) -> Mapping[str, str]:
    """The marks of a form: label to `yes`, `no`, or nothing."""
    form = await request.form()
    return {
        name.removeprefix(_MARK): value
        for name, value in form.items()
        if name.startswith(_MARK) and isinstance(value, str)
    }


Marks = Annotated[Mapping[str, str], Depends(_marks)]


@pages.get(role=Role.REVIEWER)
def index(visit: Visit) -> Response:
    """The kinds of disputes with their numbers, and what the reviewer settled last."""
    reviewer = review.reviewer_of(visit.home, visit.account.id)
    return visit.page(
        "review/index.html",
        kinds=KINDS,
        about=ABOUT,
        counts=review.counts(visit.home, most=_MOST + 1),
        most=_MOST,
        settled=review.settled_lately(visit.home, reviewer),
        public=lambda text_id: review.public_id(visit.home, text_id),
        why=lambda reason: say_why(visit, reason),
        reason=lambda given: say_reason(visit, given),
    )


@pages.get("/{kind}", role=Role.REVIEWER)
def one(visit: Visit, kind: DisputeKind, after: str = "", text: str = "") -> Response:
    """The next text of a kind, or the one that is asked for."""
    reviewer = review.reviewer_of(visit.home, visit.account.id)
    if text:
        item = review.read_item(visit.home, review.own_id(visit.home, text), kind, reviewer)
    else:
        item = review.next_item(visit.home, kind, reviewer, after=_place(visit, after))
    return visit.page("review/item.html", **_shown(visit, kind, item, reviewer, after))


@pages.get("/{kind}/next", role=Role.REVIEWER)
def following(visit: Visit, kind: DisputeKind, without: Annotated[str, Query()] = "", after: str = "") -> Response:
    """The next text but those that the page has already, as a part of a page."""
    reviewer = review.reviewer_of(visit.home, visit.account.id)
    had = [review.own_id(visit.home, given) for given in without.split(",") if given]
    item = review.next_item(visit.home, kind, reviewer, after=_place(visit, after), without=had)
    return visit.fragment("review/one.html", **_shown(visit, kind, item, reviewer, after))


@pages.post("/{kind}/settle", role=Role.REVIEWER, act="review.settle")
def settle(
    visit: Visit,
    kind: DisputeKind,
    marks: Marks,
    text: Annotated[str, Form()],
    shown: Annotated[str, Form()] = "",
    ground: Annotated[str, Form()] = "",
    words: Annotated[str, Form()] = "",
    after: Annotated[str, Form()] = "",
) -> Response:
    """Settle a text."""
    reviewer = review.reviewer_of(visit.home, visit.account.id)
    text_id = review.own_id(visit.home, text)
    try:
        settled = review.settle(
            visit.home,
            text_id,
            reviewer,
            yes=[label for label, value in marks.items() if value == "yes"],
            no=[label for label, value in marks.items() if value == "no"],
            ground=ground,
            words=words,
            shown=shown or None,
        )
    except (ReviewError, UsageError) as error:
        item = review.read_item(visit.home, text_id, kind, reviewer)
        typed = _shown(visit, kind, item, reviewer, after, marks=marks, ground=ground, words=words)
        return visit.wrong(
            str(error), "review/item.html", status=409 if isinstance(error, ReviewError) else 422, **typed
        )
    visit.note(judgement=settled.judgement)
    told = "" if _BY_SCRIPT in visit.request.headers else visit.say("Settled. The next text is shown.")
    return visit.done(f"/review/{kind}" + (f"?after={quote(after)}" if after else ""), told)


@pages.post("/undo", role=Role.REVIEWER, act="review.undo")
def undo(visit: Visit) -> Response:
    """Take the last settlement back, and show its text again."""
    undone = review.undo(visit.home, review.reviewer_of(visit.home, visit.account.id))
    if undone is None:
        return visit.done("/review", visit.say("There is nothing to take back."))
    public = review.public_id(visit.home, undone.text_id)
    if not undone.kinds:
        return visit.done(f"/texts/{public}", visit.say("Your settlement is taken back."))
    return visit.done(f"/review/{undone.kinds[0]}?text={public}", visit.say("Your settlement is taken back."))


def _place(visit: Visitor, after: str) -> Place | None:
    """The place in the list that an address names: a value and the id of a text."""
    value, _, text = after.partition("_")
    try:
        return Place(float(value), review.own_id(visit.home, text))
    except (ValueError, UsageError):
        # whoever changes the address begins at the top
        return None


def _shown(
    visit: Visitor,
    kind: DisputeKind,
    item: Item | None,
    reviewer: Reviewer,
    after: str,
    *,
    marks: Mapping[str, str] | None = None,
    ground: str = "",
    words: str = "",
) -> dict[str, Any]:
    """The values of the templates of one text."""
    home = visit.home
    names: dict[str, str] = {}
    if item is not None and item.settlements:
        with home.begin() as session:
            names = {str(person.id): person.name for person in all_accounts(session)}
    return {
        "kind": kind,
        "kinds": KINDS,
        "item": item,
        "public": _public(visit, item.text_id) if item is not None else "",
        "place": f"{item.value!r}_{_public(visit, item.text_id)}" if item is not None else "",
        "after": after,
        "keys": keys_of(home.taxonomy),
        "rows": rows_of(item, home.taxonomy, reviewer, marks) if item is not None else [],
        "raters": [say_rater(visit, vote.rater, names) for vote in item.votes] if item is not None else [],
        "why": [say_why(visit, reason) for reason in item.why] if item is not None else [],
        "settlements": [
            (say_rater(visit, vote.rater, names), vote, say_reason(visit, reason) if reason is not None else "")
            for vote, reason in (item.settlements if item is not None else [])
        ],
        "grounds": GROUNDS,
        "ground": ground,
        "words": words,
    }


def _public(visit: Visitor, text_id: uuid.UUID) -> str:
    return str(review.public_id(visit.home, text_id))
