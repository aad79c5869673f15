"""The page /account: one's own language, theme, password and sessions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.people import LANGUAGES, check_password, set_password, set_preferences
from saring.accounts.sessions import (
    begin_session,
    end_other_sessions,
    end_session_by_key,
    session_key,
    sessions_of,
)
from saring.web.guard import address_of
from saring.web.routing import Pages
from saring.web.session_cookie import set_session_cookie
from saring.web.visit import LANGUAGE_COOKIE, Visit, Visitor

pages = Pages("account")


@pages.get(role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """One's own account."""
    return visit.page("account/index.html", **_values(visit))


@pages.post("/preferences", role=Role.VOLUNTEER, act="account.preferences")
def preferences(
    visit: Visit,
    language: Annotated[str, Form()] = "",
    theme: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "/",
) -> Response:
    """Remember a language or a theme."""
    with visit.home.begin() as session:
        set_preferences(session, visit.account.id, language=language, theme=theme)
    response = visit.done(back)
    if language in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, language, max_age=31_536_000, samesite="lax", secure=visit.web.secure)
    return response


@pages.post("/password", role=Role.VIEWER, act="account.password")
def password(
    visit: Visit, old_password: Annotated[str, Form()] = "", new_password: Annotated[str, Form()] = ""
) -> Response:
    """Choose another password. All other sessions end."""
    _need_browser(visit)
    person, address = visit.account, address_of(visit.request)
    wait = visit.web.limits.sign_in_wait(person.name, address)
    if wait:
        minutes = max(1, round(wait / 60))
        message = visit.say("There were too many wrong passwords. Try again in %(minutes)s min.", minutes=minutes)
        return visit.wrong(message, "account/index.html", status=429, **_values(visit))
    with visit.home.begin() as session:
        is_right = check_password(session, person.name, old_password) is not None
    if not is_right:
        visit.web.limits.wrong_password(person.name, address)
        return visit.wrong(visit.say("The old password is wrong."), "account/index.html", **_values(visit))
    try:
        with visit.home.begin() as session:
            set_password(session, person.id, new_password)
            token = begin_session(session, person.id, visit.request.headers.get("user-agent", ""))
    except UsageError as error:
        return visit.wrong(str(error), "account/index.html", **_values(visit))
    response = visit.done("/account", visit.say("The password is changed. Other browsers are signed out."))
    set_session_cookie(visit, response, token)
    return response


@pages.post("/sessions/end", role=Role.VIEWER, act="account.end_session")
def end_one(visit: Visit, key: Annotated[str, Form()]) -> Response:
    """End one of one's sessions."""
    with visit.home.begin() as session:
        if not end_session_by_key(session, visit.account.id, key):
            raise UsageError("this session has ended already")
    return visit.done("/account", visit.say("That browser is signed out."))


@pages.post("/sessions/end-others", role=Role.VIEWER, act="account.end_sessions")
def end_others(visit: Visit) -> Response:
    """End all of one's sessions but this one."""
    _need_browser(visit)
    with visit.home.begin() as session:
        visit.note(sessions=end_other_sessions(session, visit.account.id, visit.session_token or ""))
    return visit.done("/account", visit.say("All other browsers are signed out."))


def _values(visit: Visitor) -> dict[str, Any]:
    with open_session(visit.home.engine) as session:
        sessions = sessions_of(session, visit.account.id)
    token = visit.session_token
    return {"sessions": sessions, "this_session": session_key(token) if token is not None else None}


def _need_browser(visit: Visitor) -> None:
    """Refuse a program, which has no session of its own."""
    if visit.session_token is None:
        raise UsageError("a token cannot do this: sign in with a browser")
