"""Identity and permission: sessions, API tokens, roles, and whether a form is one of ours."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from pipeline.store.tables.accounts import Role
from saring.accounts.api_tokens import PREFIX, find_token
from saring.accounts.people import Person
from saring.accounts.sessions import find_session
from saring.web.state import WebState, state_of

#: name of the field with the CSRF token, and of the one with the form's own key
CSRF_FIELD, KEY_FIELD = "csrf", "form_key"
#: fields that are never kept or logged
SECRET_FIELDS = frozenset({CSRF_FIELD, KEY_FIELD, "password", "new_password", "old_password"})


@dataclass(frozen=True, slots=True)
class Identity:
    """The account behind a request."""

    account: Person
    #: token of the browser's session; None: an API token was used
    session: str | None


class SignInNeeded(Exception):
    """Nobody is signed in, or the session ended."""

    def __init__(self, fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__()
        #: what was sent with the request, to be sent again after signing in; None: nothing was
        self.fields = fields


class RoleNeeded(Exception):
    """The account may not do this."""

    def __init__(self, needed: Role) -> None:
        super().__init__()
        self.needed = needed


class NotOurForm(Exception):
    """The form did not come from a page of ours, or from a page of an older session."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        super().__init__()
        self.fields = fields


class TooMany(Exception):
    """There were too many requests."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        #: whole seconds until the next one is let in
        self.seconds = max(1, math.ceil(seconds))


def require(role: Role) -> Callable[[Request], AsyncIterator[None]]:
    """A dependency that lets only accounts with this role pass, and only our own forms.

    It notes the identity in the request's state, for `saring.web.visit.Visit`.
    """

    async def check(request: Request) -> AsyncIterator[None]:
        web = state_of(request)
        identity = await run_in_threadpool(identify, request, web)
        posted = request.method == "POST"
        if identity is None:
            # a file cannot be sent again for somebody, so it isn't read either
            kept = posted and not is_upload(request)
            raise SignInNeeded(kept_fields(await request.form()) if kept else None)
        request.state.identity = identity
        if identity.account.role is None or not identity.account.role.allows(role):
            raise RoleNeeded(role)
        if not posted:
            yield
            return
        # its files are closed whatever comes of it
        async with request.form() as form:
            if identity.session is not None:
                _refuse_foreign(request, web, identity.session, form)
            yield

    return check


def _refuse_foreign(request: Request, web: WebState, session: str, form: FormData) -> None:
    given = form.get(CSRF_FIELD)
    right = isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "replace"), csrf_of(session))
    if not right or is_foreign(request, web):
        raise NotOurForm(kept_fields(form))


def identify(request: Request, web: WebState) -> Identity | None:
    """The identity behind a request: its session's, or its API token's; None: nobody's.

    Raises:
        TooMany: the token's requests of this minute are used up.
        StoreUnavailable: the database cannot be reached.
    """
    header = request.headers.get("authorization", "")
    scheme, _, secret = header.partition(" ")
    if scheme.lower() == "bearer":
        if not secret.strip().startswith(PREFIX):
            return None
        with web.home.begin() as session:
            known = find_token(session, secret.strip())
        if known is None:
            web.limits.refuse_guessers(address_of(request))
            return None
        person, token = known
        if wait := web.limits.token(token.id, token.per_minute):
            raise TooMany(wait)
        return Identity(person, None)
    cookie = request.cookies.get(web.cookie)
    if not cookie:
        return None
    with web.home.begin() as session:
        person_or_none = find_session(session, cookie)
    return None if person_or_none is None else Identity(person_or_none, cookie)


def csrf_of(session_token: str) -> bytes:
    """The CSRF token of a session: it can be computed from the session's token, and not the other way round."""
    return hmac.new(session_token.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest().encode()


def is_foreign(request: Request, web: WebState) -> bool:
    """Return True if the browser says that the request comes from another site."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    if origin is None:
        return False
    hosts = {request.headers.get("host", "").lower()}
    if web.public_url:
        hosts.add(urlsplit(web.public_url).netloc.lower())
    return urlsplit(origin).netloc.lower() not in hosts


def is_upload(request: Request) -> bool:
    """Return True if a form with a file was sent."""
    return request.headers.get("content-type", "").lower().startswith("multipart/")


def kept_fields(form: FormData, *, own: bool = False) -> dict[str, list[str]]:
    """The fields of a form that may be sent again: no passwords, no files.

    Args:
        form: what was sent.
        own: keep the form's own hidden fields, too.
    """
    left_out = SECRET_FIELDS - {CSRF_FIELD, KEY_FIELD} if own else SECRET_FIELDS
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str) and name not in left_out:
            fields.setdefault(name, []).append(value)
    return fields


def address_of(request: Request) -> str:
    """The network address that the request came from."""
    return request.client.host if request.client is not None else ""
