"""The page /search: find texts by words, by likeness and by what is known of them; put them into the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Form, Request
from fastapi.responses import Response

from pipeline.errors import EncoderError, UsageError
from pipeline.judgement import Tier
from pipeline.search.find import Found
from pipeline.search.query import Query, Whereabouts
from pipeline.store.tables.accounts import Role
from saring.actions import searching
from saring.actions.sources import source_names
from saring.web.routing import Pages
from saring.web.text_ids import own_id, own_ids, public_ids
from saring.web.visit import Visit
from saring.web.words import marked

pages = Pages("search")

_PAGE = 20
#: parts of a search in the page's address, and in the search itself
_NAMES: Mapping[str, str] = {
    "q": "words",
    "like": "like",
    "meaning": "meaning",
    "label": "label",
    "tier": "tier",
    "language": "language",
    "source": "source",
    "whereabouts": "whereabouts",
}
WHEREABOUTS: Mapping[Whereabouts, str] = {
    Whereabouts.FREE: marked("free to be queued"),
    Whereabouts.QUEUED: marked("in the queue"),
    Whereabouts.SENT: marked("in Label Studio, not answered"),
    Whereabouts.JUDGED: marked("judged by people"),
}


@pages.get(role=Role.VIEWER)
def index(visit: Visit, request: Request, start: int = 0) -> Response:
    """A page of what a search finds; without a search, the form and the saved searches."""
    given = {name: request.query_params.get(name, "").strip() for name in _NAMES}
    if not any(given.values()):
        return _page(visit, given)
    try:
        query = _query(visit, given)
        matches = searching.find(visit.home, query, limit=_PAGE, offset=max(0, start))
    except (UsageError, EncoderError) as error:
        return _page(visit, given, problem=str(error), status=422)
    return _page(visit, given, matches=matches, start=max(0, start))


def _query(visit: Visit, given: Mapping[str, str]) -> Query:
    values: dict[str, Any] = {_NAMES[name]: value for name, value in given.items() if name in _NAMES}
    if values.get("like"):
        values["like"] = own_id(visit.home, values["like"])
    return Query.of(values)


def _page(
    visit: Visit,
    given: Mapping[str, str],
    *,
    matches: Found | None = None,
    start: int = 0,
    problem: str | None = None,
    status: int = 200,
) -> Response:
    ids = public_ids(visit.home)
    corrected = [
        (word, _address({**given, "q": _corrected(given["q"], spelling.word, word)}))
        for spelling in (matches.spellings if matches is not None else ())
        for word in spelling.instead
    ]
    return visit.page(
        "search/index.html",
        status=status,
        problem=problem,
        given=given,
        found=matches,
        start=start,
        hits=[(str(ids.of(hit.text_id)), hit) for hit in (matches.hits if matches is not None else ())],
        corrected=corrected,
        before=_address(given, start - _PAGE) if start else None,
        after=_address(given, start + _PAGE) if matches is not None and matches.more else None,
        tiers=list(Tier),
        places=[(str(place), name) for place, name in WHEREABOUTS.items()],
        languages=visit.home.settings.languages,
        sources=source_names(visit.home),
        saved=[
            (each, _address(_given_of(visit, each.query)))
            for each in searching.saved_searches(visit.home, account=visit.account.id)
        ],
    )


def _given_of(visit: Visit, query: Query) -> dict[str, str]:
    values = query.values()
    if query.like is not None:
        values["like"] = str(public_ids(visit.home).of(query.like))
    return {name: values.get(part, "") for name, part in _NAMES.items()}


def _corrected(words: str, wrong: str, right: str) -> str:
    return " ".join(right if word.casefold() == wrong else word for word in words.split())


def _address(given: Mapping[str, str], start: int = 0) -> str:
    values = {name: value for name, value in given.items() if value}
    if start > 0:
        values["start"] = str(start)
    return f"/search?{urlencode(values)}"


@pages.post("/queue", role=Role.REVIEWER, act="queue.add")
def add(
    visit: Visit,
    text: Annotated[list[str] | None, Form()] = None,
    why: Annotated[str, Form()] = "",
    label: Annotated[str, Form()] = "",
    first: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "/search",
) -> Response:
    """Put found texts into the queue by hand."""
    chosen = own_ids(visit.home, text or [])
    if not chosen:
        raise UsageError(visit.say("Choose at least one text."))
    if not why.strip():
        raise UsageError(visit.say("Give the reason why the texts are chosen."))
    picked = searching.pick(visit.home, chosen, why=why.strip(), label=label or None, first=bool(first))
    visit.note(added=picked.added, left_out=dict(picked.left_out))
    message = visit.say("Put into the queue, with unknown probability: %(count)s.", count=picked.added)
    if picked.left_out:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in picked.left_out.items())
        left_out = visit.say("Left out: %(reasons)s.", reasons=reasons)
        message = f"{message} {left_out}"
    return visit.done(back, message)


@pages.post("/save", role=Role.VIEWER, act="search.save")
def save(visit: Visit, name: Annotated[str, Form()] = "") -> Response:
    """Keep a search under a name."""
    given = {part: str(visit.fields.get(part, "")).strip() for part in _NAMES}
    searching.save_search(visit.home, name, _query(visit, given), account=visit.account.id)
    return visit.done(_address(given), visit.say("The search is saved."))


@pages.post("/forget", role=Role.VIEWER, act="search.forget")
def forget(visit: Visit, saved: Annotated[int, Form()]) -> Response:
    """Remove a saved search."""
    searching.forget_search(visit.home, saved, account=visit.account.id)
    return visit.done("/search", visit.say("The saved search is removed."))
