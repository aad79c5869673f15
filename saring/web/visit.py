"""A visit: one request of somebody who is signed in, with what a page needs to answer it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from starlette.datastructures import UploadFile

from pipeline.errors import SaringError
from pipeline.store.tables.accounts import FormKey, Role
from saring.accounts.audit import write_entry
from saring.accounts.people import LANGUAGES, Person
from saring.home import Home
from saring.web.figures import Figure
from saring.web.guard import CSRF_FIELD, KEY_FIELD, SECRET_FIELDS, Identity, csrf_of
from saring.web.navigation import navigation
from saring.web.state import WebState, state_of
from saring.web.words import Words

#: cookies with the language of somebody who is not signed in, and with a message for the next page
LANGUAGE_COOKIE, MESSAGE_COOKIE = "saring_language", "saring_message"
#: pages whose readers have a personal link, and mostly no password
_OF_VOLUNTEERS = ("/label", "/me", "/practice", "/norming")
#: seconds that a form that is sent twice waits for the first one's outcome
_PATIENCE = 10.0
#: time after which keys of forms are forgotten
_FORGOTTEN = timedelta(days=2)
_NO_STORE = {"Cache-Control": "no-store"}
#: fields of a form that the audit log does not hold
_NOT_LOGGED = SECRET_FIELDS


class Visitor:
    """One request of somebody who is signed in.

    Args:
        request: the request.
        identity: who asks; None: a page that is open to everybody.
        fields: what was sent as a form; of a file, its name.
        files: the files.
    """

    def __init__(
        self,
        request: Request,
        identity: Identity | None,
        fields: Mapping[str, Any],
        files: Mapping[str, UploadFile] = MappingProxyType({}),
    ) -> None:
        self.request = request
        #: files that were sent with the form, by the name of their field
        self.files = files
        self.web: WebState = state_of(request)
        self._identity = identity
        self._fields = fields
        self._notes: dict[str, Any] = {}
        self.language = _language(request, identity)
        self.words: Words = self.web.renderer.words[self.language]

    @property
    def home(self) -> Home:
        """The home, with its actions as methods."""
        return self.web.home

    @property
    def account(self) -> Person:
        """The account that asks. Only on pages that need a role."""
        assert self._identity is not None
        return self._identity.account

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields that were sent as a form: texts, or lists of texts where a name comes more than once."""
        return self._fields

    @property
    def session_token(self) -> str | None:
        """Token of the browser's session; None: nobody is signed in, or an API token was used."""
        return self._identity.session if self._identity is not None else None

    def allows(self, role: Role | str) -> bool:
        """Return True if the account may do what this role may."""
        if self._identity is None or self._identity.account.role is None:
            return False
        return self._identity.account.role.allows(Role(role))

    def say(self, message: str, /, **values: Any) -> str:
        """A message in the person's language.

        Args:
            message: in English, with named values as `%(name)s`.
            values: by name.
        """
        translated = self.words.gettext(message)
        return translated % values if values else translated

    def page(self, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page from a template of `saring/web/templates`."""
        response = HTMLResponse(self._render(template, values), status_code=status, headers=_NO_STORE)
        if MESSAGE_COOKIE in self.request.cookies:
            response.delete_cookie(MESSAGE_COOKIE)
        return response

    def fragment(self, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A part of a page, which takes the place of an older one."""
        return HTMLResponse(self._render(template, values), status_code=status, headers=_NO_STORE)

    def done(self, address: str, message: str = "") -> Response:
        """Go to a page after an act, and show a message there.

        Args:
            address: a path of ours.
            message: already in the person's language.
        """
        response = RedirectResponse(local(address), status_code=303, headers=_NO_STORE)
        self.remember(response, message)
        return response

    def remember(self, response: Response, message: str) -> None:
        """Show a message on the next page."""
        if message:
            secure = self.web.secure
            response.set_cookie(
                MESSAGE_COOKIE, quote(message[:500]), max_age=60, httponly=True, samesite="lax", secure=secure
            )

    def wrong(self, message: str, template: str, /, *, status: int = 422, **values: Any) -> HTMLResponse:
        """The page of a form again, with a message that says what is wrong, and with what was typed.

        The template finds the message in `problem`.
        """
        return self.page(template, status=status, problem=message, **values)

    def note(self, **details: Any) -> None:
        """Add values to the act's entry in the audit log, for example how many texts it changed."""
        self._notes.update(details)

    def figure(
        self, name: str, compute: Callable[[Home], Any], max_age: timedelta = timedelta(minutes=5), *, wait: float = 0.0
    ) -> Figure:
        """A stored figure; see `saring.web.figures.Figures.get`. `renew=NAME` in the address asks for a new one."""
        renew = self.request.query_params.get("renew") == name and self.allows(Role.REVIEWER)
        return self.web.figures.get(name, compute, max_age, wait=wait, renew=renew)

    def form_fields(self, session_token: str | None = None) -> Markup:
        """The hidden fields that every form needs: the CSRF token, and the form's own key.

        Args:
            session_token: of a session that has just begun; None: this one's.
        """
        token = session_token or self.session_token
        csrf = csrf_of(token).decode() if token is not None else ""
        key = secrets.token_urlsafe(16)
        return Markup('<input type="hidden" name="{}" value="{}"><input type="hidden" name="{}" value="{}">').format(
            CSRF_FIELD, csrf, KEY_FIELD, key
        )

    def carry_out(self, act: str, handler: Callable[[], Response], *, private: bool = False) -> Response:
        """Carry out an act once, with its entry in the audit log.

        The log's entry is there before the act begins, so that an act that is killed is in it too. What came of it is
        a second entry, unless it went as asked.

        Args:
            act: its name in the log.
            handler: does it.
            private: True: what was sent is not in the log.
        """
        key = self._fields.get(KEY_FIELD)
        key = f"{self.account.id}:{key}"[:100] if isinstance(key, str) and key else None
        entry = self._begin(act, key, {} if private else self._fields)
        if entry is None:
            assert key is not None
            return self._again(key)
        try:
            response = handler()
        except SaringError as error:
            self._end(entry, act, key, {"failed": str(error)}, None)
            raise
        except BaseException as error:
            self._end(entry, act, key, {"failed": type(error).__name__}, None)
            raise
        if response.status_code >= 400:
            self._end(entry, act, key, {**self._notes, "refused": response.status_code}, None)
        else:
            self._end(entry, act, key, self._notes, response.headers.get("location", ""))
        return response

    def _begin(self, act: str, key: str | None, fields: Mapping[str, Any]) -> int | None:
        details = {name: value for name, value in fields.items() if name not in _NOT_LOGGED}
        details |= {name: value for name, value in self.request.path_params.items() if name not in _NOT_LOGGED}
        with self.home.begin() as session:
            session.execute(delete(FormKey).where(FormKey.at < func.now() - _FORGOTTEN))
            if key is not None:
                row = insert(FormKey).values(key=key, account_id=self.account.id)
                taken = session.execute(row.on_conflict_do_nothing().returning(FormKey.key)).one_or_none()
                if taken is None:
                    return None
            return write_entry(session, act, details, account_id=self.account.id, who=self.account.name)

    def _end(self, entry: int, act: str, key: str | None, notes: Mapping[str, Any], outcome: str | None) -> None:
        with self.home.begin() as session:
            if key is not None and outcome is None:
                # it may be sent again
                session.execute(delete(FormKey).where(FormKey.key == key))
            elif key is not None:
                session.execute(update(FormKey).where(FormKey.key == key).values(outcome=outcome))
            if notes:
                who = self.account
                write_entry(session, act, notes, account_id=who.id, who=who.name, about=entry)

    def _again(self, key: str) -> Response:
        """The outcome of a form that was sent before."""
        deadline = time.monotonic() + _PATIENCE
        outcome = None
        while outcome is None and time.monotonic() < deadline:
            with self.home.begin() as session:
                outcome = session.scalar(select(FormKey.outcome).where(FormKey.key == key))
            if outcome is None:
                time.sleep(0.1)
        if outcome is None:
            message = self.say("This form was sent before, and is still being carried out. Look again in a moment.")
            return self.page("message.html", status=409, title=self.say("Sent twice"), message=message)
        return self.done(outcome or "/", self.say("This form was sent twice. It was carried out once."))

    def _render(self, template: str, values: Mapping[str, Any]) -> str:
        message = self.request.cookies.get(MESSAGE_COOKIE)
        return self.web.renderer.render(
            self.language,
            template,
            {
                "visit": self,
                "account": self._identity.account if self._identity is not None else None,
                "language": self.language,
                "theme": self._identity.account.theme if self._identity is not None else None,
                "taxonomy": self.home.taxonomy,
                "path": self.request.url.path,
                "here": here(self.request),
                "navigation": navigation(self) if self._identity is not None else (),
                "form_fields": self.form_fields,
                "notice": unquote(message) if message else None,
                "problem": None,
                **values,
            },
        )


async def _visitor(request: Request) -> Visitor:
    identity: Identity | None = getattr(request.state, "identity", None)
    fields: dict[str, Any] = {}
    files: dict[str, UploadFile] = {}
    if request.method == "POST":
        form = await request.form()
        for name in form:
            values = [value if isinstance(value, str) else value.filename for value in form.getlist(name)]
            fields[name] = values[0] if len(values) == 1 else values
            # of several files in one field, the last one
            if isinstance(last := form[name], UploadFile):
                files[name] = last
    return Visitor(request, identity, fields, files)


#: the parameter of a page's handler
Visit = Annotated[Visitor, Depends(_visitor)]


def local(address: str) -> str:
    """An address if it is a path of ours, else the first page: nobody is sent to another site."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not address.startswith("/") or address[1:2] in ("/", "\\"):
        return "/"
    return "".join(character for character in address if character.isprintable())


def is_of_volunteers(path: str) -> bool:
    """Return True if a path of ours is one of volunteers' own pages."""
    return any(path == page or path.startswith((f"{page}/", f"{page}?")) for page in _OF_VOLUNTEERS)


def here(request: Request) -> str:
    """Path and query of the page that is shown; the first page where an act answers with a page."""
    if request.method != "GET":
        return "/"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def in_language(visit: Visitor, address: str, language: str) -> Response:
    """Send a browser to an address, in a language from now on."""
    response = RedirectResponse(address, 303)
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=31_536_000, samesite="lax", secure=visit.web.secure)
    return response


def _language(request: Request, identity: Identity | None) -> str:
    chosen = identity.account.language if identity is not None else None
    chosen = chosen or request.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return str(chosen)
    if _is_for_volunteers(request, identity):
        # most volunteers read Malay first, whatever language their phone is in
        return "ms"
    for part in request.headers.get("accept-language", "").split(","):
        language = part.partition(";")[0].strip().lower()[:2]
        # Indonesian readers read Malay with less trouble than English
        language = "ms" if language == "id" else language
        if language in LANGUAGES:
            return language
    return "en"


def _is_for_volunteers(request: Request, identity: Identity | None) -> bool:
    if identity is not None:
        return identity.account.role is Role.VOLUNTEER
    path = request.url.path
    return path.startswith(("/join", "/enter/")) or is_of_volunteers(
        request.query_params.get("next", "") if path == "/sign-in" else path
    )
