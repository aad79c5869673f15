"""The cookie of a browser's session."""

from __future__ import annotations

from fastapi.responses import Response

from saring.accounts.audit import write_entry
from saring.accounts.people import Person
from saring.accounts.sessions import IDLE, begin_session
from saring.web.visit import Visitor


def sign_person_in(visit: Visitor, person: Person, how: str) -> str:
    """Begin a session, and note it in the audit log; its token.

    Args:
        visit: the request.
        person: who signs in.
        how: with what, for the audit log.
    """
    with visit.home.begin() as session:
        write_entry(session, "account.sign_in", {"with": how}, account_id=person.id, who=person.name)
        return begin_session(session, person.id, visit.request.headers.get("user-agent", ""))


def set_session_cookie(visit: Visitor, response: Response, token: str) -> None:
    """Give the browser the token of its session."""
    response.set_cookie(
        visit.web.cookie,
        token,
        max_age=int(IDLE.total_seconds()),
        path="/",
        secure=visit.web.secure,
        httponly=True,
        samesite="lax",
    )
