"""The page /reports: the reports that commands and stages wrote into the home, each with a policy of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import HTTPException
from fastapi.responses import FileResponse, Response

from pipeline.store.tables.accounts import Role
from saring.web.headers import REPORT_POLICY
from saring.web.routing import Pages
from saring.web.visit import Visit

pages = Pages("reports")


@pages.get(role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """The list of reports."""
    folder = visit.home.settings.reports_dir
    files = sorted(folder.glob("*.html")) if folder.is_dir() else []
    listed = [
        {"name": file.name, "at": datetime.fromtimestamp(file.stat().st_mtime, UTC), "bytes": file.stat().st_size}
        for file in files
    ]
    return visit.page("reports/index.html", reports=listed)


@pages.get("/{name}", role=Role.VIEWER)
def report(visit: Visit, name: str) -> Response:
    """A report. What a text in it contains can do nothing to this site: the report is in a sandbox."""
    folder = visit.home.settings.reports_dir
    # only what the list shows: no path, no other kind of file
    known = {file.name: file for file in folder.glob("*.html")} if folder.is_dir() else {}
    if name not in known:
        raise HTTPException(404)
    headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"}
    return FileResponse(known[name], media_type="text/html", headers=headers)
