"""The page /volunteers: let people in who asked, and give them new links."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import SaringError, UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.people import by_id
from saring.accounts.volunteers import all_volunteers, find_volunteer, new_personal_link
from saring.accounts.volunteers import refuse as turn_away
from saring.actions.dashboard import dashboard_url
from saring.actions.volunteers import approve as let_in
from saring.actions.volunteers import invite as invite_somebody
from saring.web.pages.join import personal_link
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor

pages = Pages("volunteers")
_LARGEST = 2**31 - 1


@pages.get(role=Role.MAINTAINER)
def index(visit: Visit) -> Response:
    """All volunteers, first those who wait."""
    return visit.page("volunteers/index.html", **_values(visit))


@pages.post("/invite", role=Role.MAINTAINER, act="volunteers.invite")
def invite(visit: Visit, name: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Make a volunteer of somebody who did not ask, and show their personal link."""
    typed = name
    try:
        invited = invite_somebody(visit.home, "-".join(name.split()))
    except UsageError as error:
        return visit.wrong(str(error), "volunteers/index.html", **_values(visit, typed=typed))
    visit.note(name=invited.person.name, user=invited.person.rater)
    link = personal_link(visit, invited.token)
    return visit.page("volunteers/link.html", person=invited.person, link=link, first=True, waits=not invited.let_in)


@pages.post("/{account_id}/approve", role=Role.MAINTAINER, act="volunteers.approve")
def approve(visit: Visit, account_id: int, password: Annotated[str, Form(max_length=1_000)] = "") -> Response:
    """Let somebody in. Their token of Label Studio is sent as `password`, a field that no log holds."""
    try:
        person = let_in(visit.home, min(account_id, _LARGEST), token=password.strip() or None)
    except SaringError as error:
        return visit.wrong(str(error), "volunteers/index.html", **_values(visit))
    visit.note(name=person.name, user=person.rater)
    return visit.done("/volunteers", visit.say("%(name)s may label now, with their own link.", name=person.name))


@pages.post("/{account_id}/refuse", role=Role.MAINTAINER, act="volunteers.refuse")
def refuse(visit: Visit, account_id: int) -> Response:
    """Refuse somebody who asked."""
    with visit.home.begin() as session:
        person = turn_away(session, min(account_id, _LARGEST))
    visit.note(name=person.name)
    return visit.done("/volunteers", visit.say("%(name)s is not let in.", name=person.name))


@pages.post("/{account_id}/link", role=Role.MAINTAINER, act="volunteers.link")
def link(visit: Visit, account_id: int) -> Response:
    """Show a new personal link of a volunteer, who lost the one before."""
    with visit.home.begin() as session:
        person = by_id(session, min(account_id, _LARGEST))
        if find_volunteer(session, person.id) is None or person.role not in (None, Role.VOLUNTEER):
            # a link without a password must open no more than a volunteer may
            raise UsageError(f"{person.name} signs in with a password: personal links are for volunteers only")
        token = new_personal_link(session, person.id)
    visit.note(name=person.name)
    link = personal_link(visit, token)
    return visit.page("volunteers/link.html", person=person, link=link, first=False, waits=False)


def _values(visit: Visitor, *, typed: str = "") -> dict[str, Any]:
    with open_session(visit.home.engine) as session:
        volunteers = all_volunteers(session)
    return {
        "volunteers": [volunteer for volunteer in volunteers if volunteer.person.disabled_at is None],
        "typed": typed,
        "join_link": f"{visit.web.public_url or dashboard_url(visit.home)}/join" if visit.home.settings.join else None,
    }
