"""The page /users: who may do what."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form
from fastapi.responses import Response
from sqlalchemy import select

from pipeline import store
from pipeline.errors import UsageError
from pipeline.judgement import RaterKind
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.links import new_link
from saring.accounts.people import (
    all_accounts,
    by_id,
    end_sessions,
    set_enabled,
    set_label_studio_user,
    set_role,
)
from saring.accounts.sessions import last_seen
from saring.accounts.volunteers import add_person
from saring.actions.dashboard import dashboard_url
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor

pages = Pages("users")
#: the largest id that the database has
_LARGEST = 2**31 - 1


@pages.get(role=Role.OWNER)
def index(visit: Visit) -> Response:
    """All accounts."""
    return visit.page("users/index.html", **_values(visit))


@pages.post("/add", role=Role.OWNER, act="users.add")
def add(
    visit: Visit,
    name: Annotated[str, Form()],
    role: Annotated[Role, Form()],
    email: Annotated[str, Form()] = "",
) -> Response:
    """Add an account, and show the link that its person chooses a password with."""
    try:
        with visit.home.begin() as session:
            person = add_person(session, name.strip(), role, email=email.strip()[:254])
            token = new_link(session, person.id)
    except UsageError as error:
        return visit.wrong(str(error), "users/index.html", **_values(visit, name=name, role=role, email=email))
    return visit.page("users/link.html", person=person, link=_link(visit, token))


@pages.post("/{account_id}/link", role=Role.OWNER, act="users.link")
def link(visit: Visit, account_id: int) -> Response:
    """Show a link that an account chooses a new password with."""
    with visit.home.begin() as session:
        person = by_id(session, min(account_id, _LARGEST))
        if person.disabled_at is not None:
            raise UsageError(f"{person.name} is disabled: let the account sign in again first")
        visit.note(name=person.name)
        token = new_link(session, person.id)
    return visit.page("users/link.html", person=person, link=_link(visit, token))


@pages.post("/{account_id}/role", role=Role.OWNER, act="users.role")
def change_role(visit: Visit, account_id: int, role: Annotated[str, Form()] = "") -> Response:
    """Change what an account may do."""
    if role and role not in list(Role):
        raise UsageError(f"there is no role {role[:20]!r}: choose one from the list")
    with visit.home.begin() as session:
        person = set_role(session, min(account_id, _LARGEST), Role(role) if role else None)
    visit.note(name=person.name)
    return visit.done("/users", visit.say("The role of %(name)s is changed.", name=person.name))


@pages.post("/{account_id}/rater", role=Role.OWNER, act="users.label_studio")
def change_rater(visit: Visit, account_id: int, user: Annotated[str, Form()] = "") -> Response:
    """Note which user of Label Studio an account is."""
    with visit.home.begin() as session:
        person = set_label_studio_user(session, min(account_id, _LARGEST), user.strip()[:40].replace("\0", ""))
    visit.note(name=person.name)
    return visit.done("/users", visit.say("Saved for %(name)s.", name=person.name))


@pages.post("/{account_id}/disable", role=Role.OWNER, act="users.disable")
def disable(visit: Visit, account_id: int) -> Response:
    """Let an account sign in no more."""
    return _enable(visit, account_id, False)


@pages.post("/{account_id}/enable", role=Role.OWNER, act="users.enable")
def enable(visit: Visit, account_id: int) -> Response:
    """Let an account sign in again."""
    return _enable(visit, account_id, True)


@pages.post("/{account_id}/sign-out", role=Role.OWNER, act="users.sign_out")
def sign_out(visit: Visit, account_id: int) -> Response:
    """End all sessions of an account."""
    with visit.home.begin() as session:
        person = by_id(session, min(account_id, _LARGEST))
        ended = end_sessions(session, person.id)
    visit.note(name=person.name, sessions=ended)
    return visit.done("/users", visit.say("%(name)s is signed out everywhere.", name=person.name))


def _enable(visit: Visitor, account_id: int, enabled: bool) -> Response:
    with visit.home.begin() as session:
        person = set_enabled(session, min(account_id, _LARGEST), enabled)
    visit.note(name=person.name)
    message = (
        visit.say("%(name)s may sign in again.", name=person.name)
        if enabled
        else visit.say("%(name)s may not sign in any more, and is signed out.", name=person.name)
    )
    return visit.done("/users", message)


def _values(visit: Visitor, **typed: object) -> dict[str, Any]:
    r = store.Rater
    with open_session(visit.home.engine) as session:
        accounts = all_accounts(session)
        seen = last_seen(session)
        raters = session.execute(
            select(r.version, r.name).where(r.kind == RaterKind.HUMAN, r.version != "").order_by(r.name).limit(500)
        ).all()
    # who waits for a role comes first
    ordered = sorted(accounts, key=lambda person: (person.role is not None, person.disabled_at is not None))
    return {
        "accounts": ordered,
        "seen": seen,
        "raters": [(version, name) for version, name in raters],
        "roles": list(Role),
        "typed": {"name": "", "role": Role.VIEWER, "email": "", **typed},
    }


def _link(visit: Visitor, token: str) -> str:
    return f"{visit.web.public_url or dashboard_url(visit.home)}/welcome/{token}"
