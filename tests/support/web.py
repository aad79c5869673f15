"""The dashboard as it is served: a real server over a real store, and a signed-in client for each role."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import httpx

from ml_backend.config import Limits
from ml_backend.server import server_config
from pipeline.settings import Settings
from pipeline.store.tables.accounts import Role
from saring.accounts.people import add_account, by_name
from saring.accounts.sessions import begin_session
from saring.home import Home
from saring.web.app import create_web
from saring.web.server import DashboardServer
from tests.support.served import run_to_the_end
from tests.support.waiting import until

#: what browsers send with a page's request
BROWSER = {"Accept": "text/html,application/xhtml+xml", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0"}


@dataclass
class Form:
    """A form of a page."""

    action: str
    method: str
    #: names and values of its fields, as a browser would send them; buttons left out
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._text: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._form)
        elif self._form is not None and tag == "input" and given.get("name"):
            ticked = given.get("type") not in ("checkbox", "radio") or "checked" in given
            if ticked and given.get("type") not in ("submit", "button"):
                self._form.fields[given["name"]] = given.get("value", "on" if given.get("type") == "checkbox" else "")
        elif self._form is not None and tag == "textarea" and given.get("name"):
            self._text = given["name"]
            self._form.fields[self._text] = ""
        elif self._form is not None and tag == "select" and given.get("name"):
            self._select = given["name"]
        elif (
            self._form is not None
            and tag == "option"
            and self._select is not None
            and ("selected" in given or self._select not in self._form.fields)
        ):
            self._form.fields[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._text = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._text is not None:
            # browsers leave out a line break at the beginning
            self._form.fields[self._text] += data if self._form.fields[self._text] else data.removeprefix("\n")


def forms_of(page: str) -> list[Form]:
    """The forms of a page, with the values that a browser would send."""
    reader = _Forms()
    reader.feed(page)
    return reader.forms


class Browser(httpx.Client):
    """A client that keeps cookies and sends forms, and runs no JavaScript."""

    def post_form(self, page: str, action: str, /, **fields: object) -> httpx.Response:
        """Open a page, fill in its form with this action, and send it. Redirects are followed.

        Args:
            page: address of the page that has the form.
            action: address that the form sends to.
            fields: values that are typed or pressed.
        """
        shown = self.get(page)
        assert shown.status_code < 400, (shown.status_code, words_of(shown.text))
        form = next((form for form in forms_of(shown.text) if form.action == action and form.method == "post"), None)
        assert form is not None, f"{page} has no form for {action}: {[f.action for f in forms_of(shown.text)]}"
        return self.send_form(action, {**form.fields, **{name: str(value) for name, value in fields.items()}})

    def send_form(self, action: str, fields: Mapping[str, str]) -> httpx.Response:
        """Send fields to an address, as a page of ours does, and follow redirects."""
        origin = {"Origin": str(self.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        return self.post(action, data=dict(fields), headers=origin, follow_redirects=True)


def words_of(page: str) -> str:
    """What a page says, without its tags."""
    main = page.partition("<main")[2] or page
    return " ".join(re.sub(r"<[^>]+>", " ", main.partition(">")[2]).split())


@dataclass
class Web:
    """A dashboard that is being served."""

    url: str
    home: Home
    _clients: list[Browser] = field(default_factory=list)

    def anonymous(self, **headers: str) -> Browser:
        """A browser in which nobody is signed in."""
        client = Browser(base_url=self.url, headers=BROWSER | headers, timeout=60, trust_env=False)
        self._clients.append(client)
        return client

    def client(self, role: Role, name: str | None = None) -> Browser:
        """A browser in which an account with this role is signed in."""
        name = name or str(role)
        with self.home.begin() as session:
            try:
                person = by_name(session, name)
            except Exception:  # noqa: BLE001 - it is not there yet
                person = add_account(session, name, role)
            token = begin_session(session, person.id, BROWSER["User-Agent"])
        client = self.anonymous()
        client.cookies.set("saring_session", token)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()


@contextmanager
def serving_web(home: Path, database_url: str, **settings: object) -> Iterator[Web]:
    """Serve the dashboard of a home on a free port, in this process."""
    with (
        Home(settings=Settings(home=home, database_url=database_url, **settings)) as opened,  # type: ignore[arg-type]
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
    ):
        app = create_web(opened)
        server = DashboardServer(server_config(app, Limits()), app)
        thread = threading.Thread(target=run_to_the_end, args=(server, listener))
        thread.start()
        try:
            until(lambda: server.started, "the dashboard is served")
            web = Web(f"http://127.0.0.1:{listener.getsockname()[1]}", opened)
            yield web
        finally:
            web.close()
            server.should_exit = True
            thread.join()
