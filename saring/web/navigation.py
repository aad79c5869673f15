"""The pages in the navigation, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.store.tables.accounts import Role
from saring.web.words import marked

if TYPE_CHECKING:
    from saring.web.visit import Visitor


@dataclass(frozen=True, slots=True)
class Place:
    """A page in the navigation."""

    path: str
    title: str
    #: pressed after `g`
    key: str
    role: Role = Role.VIEWER


@dataclass(frozen=True, slots=True)
class Link:
    """A place, for somebody."""

    path: str
    title: str
    key: str
    current: bool


PLACES: Sequence[Place] = (
    Place("/", marked("Overview"), "o"),
    Place("/runs", marked("Runs"), "r"),
    Place("/filter", marked("Filter"), "f"),
    Place("/queue", marked("Queue"), "q"),
    Place("/review", marked("Review"), "v", Role.REVIEWER),
    Place("/search", marked("Search"), "s"),
    Place("/annotators", marked("Annotators"), "a"),
    Place("/models", marked("Models"), "m"),
    Place("/drift", marked("Drift"), "d"),
    Place("/guidelines", marked("Guidelines"), "l"),
    Place("/reports", marked("Reports"), "p"),
    Place("/settings", marked("Settings"), "e", Role.MAINTAINER),
    Place("/volunteers", marked("Volunteers"), "w", Role.MAINTAINER),
    Place("/users", marked("Accounts"), "u", Role.OWNER),
    Place("/tokens", marked("API tokens"), "t"),
    Place("/audit", marked("Audit log"), "i", Role.MAINTAINER),
)
#: those of a volunteer, who sees no other pages
OWN_PLACES: Sequence[Place] = (
    Place("/label", marked("Label"), "l", Role.VOLUNTEER),
    Place("/practice", marked("Practice"), "p", Role.VOLUNTEER),
    Place("/norming", marked("Texts of the week"), "w", Role.VOLUNTEER),
    Place("/me", marked("My page"), "m", Role.VOLUNTEER),
)


def navigation(visit: Visitor) -> list[Link]:
    """The places that somebody may go to."""
    path = visit.request.url.path
    places = PLACES if visit.allows(Role.VIEWER) else OWN_PLACES
    return [
        Link(place.path, visit.say(place.title), place.key, _is_current(place.path, path))
        for place in places
        if visit.allows(place.role)
    ]


def _is_current(place: str, path: str) -> bool:
    return path == place or (place != "/" and path.startswith(f"{place}/"))
