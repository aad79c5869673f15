"""The page /audit: who did what, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import Depends
from fastapi.responses import Response, StreamingResponse

from pipeline.errors import UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.audit import every_entry, read_entries
from saring.accounts.people import all_accounts
from saring.home import Home
from saring.web.routing import Pages
from saring.web.visit import Visit

pages = Pages("audit")
#: entries of a page
_PAGE = 50
#: acts that are not forms of the pages
_OTHER_ACTS = ("account.sign_in", "users.label_studio")
_COMMAND_LINE = "command-line"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters of the log, as the page's form sends them."""

    act: str = ""
    #: id of an account, or `command-line`
    who: str = ""
    since: str = ""
    until: str = ""

    def filters(self) -> dict[str, Any]:
        """The arguments of `read_entries`.

        Raises:
            UsageError: a value is not valid.
        """
        chosen: dict[str, Any] = {}
        if self.act.strip():
            chosen["act"] = self.act.strip()[:80].replace("\0", "")
        if self.who == _COMMAND_LINE:
            chosen["command_line"] = True
        elif self.who:
            if not self.who.isascii() or not self.who.isdigit() or len(self.who) > 9:
                raise UsageError("there is no such account: choose one from the list")
            chosen["account_id"] = int(self.who)
        if self.since:
            chosen["since"] = _day(self.since)
        if self.until:
            chosen["until"] = _day(self.until) + _DAY
        return chosen

    def query(self, **more: object) -> str:
        """The filters as the query of an address."""
        return urlencode({name: value for name, value in {**asdict(self), **more}.items() if value not in ("", None)})


Filters = Annotated[Wanted, Depends()]


@pages.get(role=Role.MAINTAINER)
def index(visit: Visit, wanted: Filters, before: int | None = None) -> Response:
    """A page of the log."""
    problem = None
    try:
        filters = wanted.filters()
    except UsageError as error:
        filters, problem = {}, str(error)
    with open_session(visit.home.engine) as session:
        entries = read_entries(session, before=_bounded(before), limit=_PAGE + 1, **filters)
        accounts = all_accounts(session)
    shown = entries[:_PAGE]
    return visit.page(
        "audit/index.html",
        status=422 if problem else 200,
        problem=problem,
        entries=shown,
        accounts=accounts,
        acts=_acts(),
        wanted=wanted,
        newest=f"/audit?{wanted.query()}" if before is not None else None,
        older=f"/audit?{wanted.query(before=shown[-1].id)}" if len(entries) > _PAGE else None,
        export=f"/audit/export?{wanted.query()}",
    )


@pages.get("/export", role=Role.MAINTAINER)
def export(visit: Visit, wanted: Filters) -> Response:
    """All entries that the filters let through, as JSON lines."""
    headers = {
        "Content-Disposition": f'attachment; filename="audit-{datetime.now(UTC):%Y-%m-%d}.jsonl"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_lines(visit.home, wanted.filters()), media_type="application/jsonl", headers=headers)


def _lines(home: Home, filters: dict[str, Any]) -> Iterator[bytes]:
    with open_session(home.engine) as session:
        for entry in every_entry(session, **filters):
            yield orjson.dumps(asdict(entry)) + b"\n"


def _acts() -> list[str]:
    from saring.web.app import route_table

    acts = {rule.act for rule in route_table() if rule.act is not None}
    return sorted(acts.union(_OTHER_ACTS, {act.partition(".")[0] for act in acts}))


def _day(value: str) -> datetime:
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise UsageError("a day is written as 2026-03-31") from error
    if not 1970 <= day.year < 9999:
        raise UsageError("a day is written as 2026-03-31")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _bounded(number: int | None) -> int | None:
    """A number that the database can compare with its ids."""
    return None if number is None else max(0, min(number, 2**62))
