"""The dashboard's address, and the link of its first owner."""

from __future__ import annotations

from typing import Any

from saring.context import Context
from saring.services.programs import Backend


def dashboard_url(home: Context) -> str:
    """The address of the dashboard, without a slash at its end: the settings', else that of this home's own server."""
    if home.settings.dashboard_url is not None:
        return home.settings.dashboard_url
    return Backend(home.settings).port.url() or "http://127.0.0.1:9090"


def dashboard_access(home: Context) -> dict[str, Any]:
    """Address of the dashboard, and a one-time link for its first owner where there is no owner yet.

    Raises:
        StoreError: the database cannot be reached, or its schema is not this code's.
    """
    from saring.accounts.audit import write_entry
    from saring.accounts.links import first_link

    url = dashboard_url(home)
    with home.begin() as session:
        token = first_link(session)
        if token is not None:
            write_entry(session, "users.link", {"name": "the first owner"})
    return {"url": url, "first_link": f"{url}/welcome/{token}" if token is not None else None}
