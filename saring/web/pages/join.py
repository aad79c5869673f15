"""The pages /join and /enter: ask to be a volunteer, and sign in with a personal link."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Form, HTTPException
from fastapi.responses import RedirectResponse, Response

from pipeline.errors import UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.audit import write_entry
from saring.accounts.people import LANGUAGES
from saring.accounts.volunteers import ask_to_join, by_personal_link, find_volunteer, note_link_used
from saring.actions.dashboard import dashboard_url
from saring.web.guard import address_of, is_foreign
from saring.web.routing import Pages
from saring.web.session_cookie import set_session_cookie, sign_person_in
from saring.web.visit import Visit, Visitor, in_language

pages = Pages("")


@pages.get("/join", role=None)
def join_form(visit: Visit, language: str | None = None) -> Response:
    """The form to ask to be a volunteer, with what volunteers do and meet."""
    if language in LANGUAGES:
        return in_language(visit, "/join", str(language))
    _need_open(visit)
    return visit.page("join/index.html", name="")


@pages.open_post("/join")
def join(visit: Visit, name: Annotated[str, Form()] = "", agreed: Annotated[str, Form()] = "") -> Response:
    """Ask to be a volunteer, and show the personal link."""
    _need_open(visit)
    name = "-".join(name.split())
    if is_foreign(visit.request, visit.web):
        return visit.wrong(visit.say("This form is from another site. Fill it in here."), "join/index.html", name="")
    if not agreed:
        return visit.wrong(visit.say("Tick that you agree, or close this page."), "join/index.html", name=name)
    if visit.web.limits.join(address_of(visit.request)):
        message = visit.say("Too many people asked from your network. Try again in an hour.")
        return visit.wrong(message, "join/index.html", status=429, name=name)
    try:
        with visit.home.begin() as session:
            person, token = ask_to_join(session, name, language=visit.language)
            write_entry(session, "volunteers.ask", {"name": person.name}, account_id=person.id, who=person.name)
    except UsageError as error:
        return visit.wrong(str(error), "join/index.html", name=name)
    return visit.page("join/link.html", link=personal_link(visit, token))


@pages.get("/enter/{token}", role=None)
def enter_page(visit: Visit, token: str, language: str | None = None) -> Response:
    """A button to sign in with: chat programs open links by themselves, and press nothing."""
    if language in LANGUAGES:
        return in_language(visit, f"/enter/{quote(token, safe='')}", str(language))
    return _enter_form(visit, token)


def _enter_form(visit: Visitor, token: str) -> Response:
    with open_session(visit.home.engine) as session:
        person = by_personal_link(session, token)
    if person is None:
        message = visit.say("This link works no more. Ask a maintainer for a new one.")
        title = visit.say("There is no such link")
        # whoever has a broken link may open nothing else here
        onward = ("/join", visit.say("Become a volunteer")) if visit.home.settings.join else None
        return visit.page("message.html", status=404, title=title, message=message, again=None, onward=onward)
    if person.role not in (None, Role.VOLUNTEER):
        return _password_needed(visit)
    return visit.page("join/enter.html", person=person, token=token)


@pages.open_post("/enter/{token}")
def enter(visit: Visit, token: str) -> Response:
    """Begin a session."""
    with visit.home.begin() as session:
        person = by_personal_link(session, token)
        if person is not None:
            note_link_used(session, person.id)
            state = find_volunteer(session, person.id)
    if person is None or person.role is not Role.VOLUNTEER or is_foreign(visit.request, visit.web):
        return _enter_form(visit, token)
    begun = sign_person_in(visit, person, "personal link")
    response = RedirectResponse("/label" if state is not None and state.may_label else "/me", 303)
    set_session_cookie(visit, response, begun)
    return response


def _password_needed(visit: Visitor) -> Response:
    """A link without a password opens nothing but what a volunteer may see."""
    message = visit.say("Your account may do more than label by now. Sign in with its password.")
    title, onward = visit.say("This link works no more"), ("/sign-in", visit.say("Sign in"))
    return visit.page("message.html", status=403, title=title, message=message, again=None, onward=onward)


def personal_link(visit: Visitor, token: str) -> str:
    """The address of a personal link."""
    return f"{visit.web.public_url or dashboard_url(visit.home)}/enter/{token}"


def _need_open(visit: Visitor) -> None:
    if not visit.home.settings.join:
        raise HTTPException(404)
