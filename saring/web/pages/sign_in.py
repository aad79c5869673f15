"""Signing in and out, and the pages that keep what was typed until it can be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import quote

import orjson
from fastapi import Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.errors import UsageError
from saring.accounts.links import peek_link, use_link
from saring.accounts.people import LANGUAGES, check_password, set_password
from saring.accounts.sessions import end_session
from saring.web.guard import address_of, is_foreign
from saring.web.routing import Pages
from saring.web.session_cookie import set_session_cookie, sign_person_in
from saring.web.visit import Visit, Visitor, in_language, is_of_volunteers, local
from saring.web.words import marked

pages = Pages("")
_OPEN_LINK = marked(
    "Do you label texts here? Open your personal link again. If you do not have it any more, ask the maintainer who "
    "invited you for a new one."
)
#: characters of typed text that are kept while somebody signs in
_MOST_KEPT = 4_000_000


@pages.get("/sign-in", role=None)
def sign_in_form(visit: Visit, next: str = "/", language: str | None = None) -> Response:
    """The form to sign in with."""
    if language in LANGUAGES:
        return in_language(visit, f"/sign-in?next={_quoted(next)}", str(language))
    return sign_in_page(visit, next_path=local(next))


@pages.open_post("/sign-in")
def sign_in(
    visit: Visit,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
    kept: Annotated[str, Form(max_length=_MOST_KEPT)] = "",
) -> Response:
    """Begin a session, and send what was kept."""
    fields = _read_kept(kept)
    request, limits = visit.request, visit.web.limits
    if is_foreign(request, visit.web):
        problem = visit.say("This form is from another site. Sign in here.")
        return sign_in_page(visit, status=403, problem=problem, next_path=local(next), fields=fields)
    wait = limits.sign_in_wait(name, address_of(request))
    if wait:
        minutes = max(1, round(wait / 60))
        problem = visit.say("There were too many wrong passwords. Try again in %(minutes)s min.", minutes=minutes)
        slowed = sign_in_page(visit, status=429, problem=problem, next_path=local(next), fields=fields, name=name)
        slowed.headers["Retry-After"] = str(int(wait) + 1)
        return slowed
    with visit.home.begin() as session:
        person = check_password(session, name.strip(), password)
    if person is None:
        limits.wrong_password(name, address_of(request))
        problem = visit.say("The name or the password is wrong.")
        return sign_in_page(visit, status=401, problem=problem, next_path=local(next), fields=fields, name=name)
    token = sign_person_in(visit, person, "password")
    response: Response = (
        again_page(visit, visit.say("You are signed in again."), local(next), fields, session_token=token)
        if fields
        else RedirectResponse(local(next), 303)
    )
    set_session_cookie(visit, response, token)
    return response


@pages.get("/welcome/{token}", role=None)
def welcome_page(visit: Visit, token: str, language: str | None = None) -> Response:
    """The form to choose a password with, from a one-time link."""
    if language in LANGUAGES:
        return in_language(visit, f"/welcome/{quote(token, safe='')}", str(language))
    return _welcome_form(visit, token)


def _welcome_form(visit: Visit, token: str) -> Response:
    with visit.home.begin() as session:
        person = peek_link(session, token)
    if person is None:
        return visit.page(
            "message.html",
            status=404,
            title=visit.say("This link does not work any more"),
            message=visit.say(
                "A link works once, for 24 hours. Ask an owner for another one, or run `saring users link`."
            ),
        )
    return visit.page("welcome.html", person=person, token=token)


@pages.open_post("/welcome/{token}")
def welcome(
    visit: Visit,
    token: str,
    password: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    """Choose a password, and begin a session."""
    with visit.home.begin() as session:
        person = peek_link(session, token)
    if person is None or is_foreign(visit.request, visit.web):
        return _welcome_form(visit, "")
    if password != again:
        return visit.wrong(visit.say("The two passwords differ."), "welcome.html", person=person, token=token)
    try:
        with visit.home.begin() as session:
            # Of two who send the same link, one changes the password. A password that is refused uses nothing up.
            if use_link(session, token) is None:
                return _welcome_form(visit, "")
            set_password(session, person.id, password)
    except UsageError as error:
        return visit.wrong(str(error), "welcome.html", person=person, token=token)
    begun = sign_person_in(visit, person, "one-time link")
    response = visit.done("/", visit.say("Welcome. Your password is set."))
    set_session_cookie(visit, response, begun)
    return response


@pages.open_post("/sign-out")
def sign_out(visit: Visit, request: Request) -> Response:
    """End the session."""
    cookie = request.cookies.get(visit.web.cookie)
    if cookie and not is_foreign(request, visit.web):
        with visit.home.begin() as session:
            end_session(session, cookie)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(visit.web.cookie, path="/", secure=visit.web.secure, httponly=True, samesite="lax")
    return response


def sign_in_page(
    visit: Visitor,
    *,
    status: int = 200,
    problem: str | None = None,
    next_path: str = "/",
    fields: Mapping[str, Sequence[str]] | None = None,
    name: str = "",
) -> HTMLResponse:
    """The form to sign in with, which keeps the fields of another form."""
    kept = orjson.dumps(fields).decode() if fields else ""
    # in both languages: nothing is known yet of who reads it
    words = visit.web.renderer.words
    open_link = {language: words[language].gettext(_OPEN_LINK) for language in ("ms", "en")}
    return visit.page(
        "sign_in.html",
        open_link=open_link if is_of_volunteers(next_path) else {},
        status=status,
        problem=problem,
        next_path=next_path,
        kept=kept,
        fields=fields or {},
        name=name,
    )


def again_page(
    visit: Visitor,
    message: str,
    path: str,
    fields: Mapping[str, Sequence[str]],
    *,
    status: int = 200,
    session_token: str | None = None,
    own: bool = False,
) -> HTMLResponse:
    """A page with what was typed, to be sent again with one press.

    Args:
        visit: the request.
        message: why it has to be sent again.
        path: where to.
        fields: what was typed.
        status: of the answer.
        session_token: of a session that has just begun.
        own: the fields hold the form's own hidden fields.
    """
    hidden = visit.form_fields(session_token) if not own else ""
    return visit.page("again.html", status=status, message=message, target=local(path), fields=fields, hidden=hidden)


def _read_kept(kept: str) -> dict[str, list[str]]:
    try:
        read = orjson.loads(kept) if kept else {}
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(read, dict):
        return {}
    return {str(name): [str(value) for value in values] for name, values in read.items() if isinstance(values, list)}


def _quoted(path: str) -> str:
    return quote(local(path))
