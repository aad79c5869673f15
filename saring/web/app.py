"""The application of the pages: routes, answers to errors, and headers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from pipeline.errors import SaringError, StoreError, UsageError
from pipeline.runs.changes import read_lines
from pipeline.runs.feed import RunFeed
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.volunteers import find_volunteer
from saring.web.body import BoundedBody
from saring.web.figures import Figures
from saring.web.gone import QuietlyGone
from saring.web.guard import NotOurForm, RoleNeeded, SignInNeeded, TooMany, is_upload, kept_fields
from saring.web.headers import SecurityHeaders
from saring.web.limits import Limits
from saring.web.pages import ALL
from saring.web.pages.run_starts import UPLOAD_PATH
from saring.web.pages.sign_in import again_page, sign_in_page
from saring.web.rendering import STATIC, Renderer
from saring.web.routing import Rule, table
from saring.web.state import WebState
from saring.web.visit import Visitor, here, local

if TYPE_CHECKING:
    from saring.home import Home

logger = logging.getLogger(__name__)

#: seconds after which a page about a database that is away asks again
_AGAIN_SECONDS = 5
#: bytes of a form around the file in it
_AROUND_A_FILE = 64 << 10


def create_web(home: Home, *, broker_url: Callable[[], str] | None = None, public_url: str | None = None) -> FastAPI:
    """The application of the pages.

    Args:
        home: the home with its store.
        broker_url: gives the broker's address, where requests are counted; None: this process counts them.
        public_url: address under which people open the pages, if that is not the one that is listened on.
    """
    figures = Figures(home)
    runs = RunFeed(lambda known, newest: read_lines(home.engine, known, newest))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        runs.stop()
        figures.close()

    app = FastAPI(title="Saring", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.web = WebState(home, Limits(broker_url), Renderer(), figures, runs, public_url)
    for pages in ALL:
        app.include_router(pages.router)
    app.mount("/static", _Static(directory=STATIC), name="static")
    app.add_middleware(BoundedBody, larger={UPLOAD_PATH: home.settings.upload_most_mb * 1_000_000 + _AROUND_A_FILE})
    app.add_middleware(QuietlyGone)
    app.add_middleware(SecurityHeaders, secure=app.state.web.secure)
    handlers: list[tuple[type[Exception] | int, Callable[[Request, Exception], Awaitable[Response]]]] = [
        (SignInNeeded, _sign_in),
        (RoleNeeded, _forbidden),
        (NotOurForm, _not_our_form),
        (TooMany, _too_many),
        (StoreError, _no_store),
        (OperationalError, _no_store),
        (SaringError, _failed),
        (SQLAlchemyError, _broken),
        (RequestValidationError, _invalid),
        (HTTPException, _http),
        (Exception, _broken),
    ]
    for error, handler in handlers:
        app.add_exception_handler(error, handler)
    return app


def route_table() -> list[Rule]:
    """All routes with the least role that may ask for them."""
    return table(ALL)


class _Static(StaticFiles):
    """Files that browsers may keep: their addresses change with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


async def _sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeeded)
    if _is_program(request):
        return PlainTextResponse(
            "an API token is needed, as `Authorization: Bearer saring_...`: an account makes one at /tokens\n",
            401,
            headers={"WWW-Authenticate": 'Bearer realm="saring"'},
        )
    visit = _anonymous(request)
    if request.method == "POST" and is_upload(request):
        page_before = local(urlsplit(request.headers.get("referer", "")).path or "/")
        problem = visit.say("Your session ended. Sign in, and choose the file again.")
        return sign_in_page(visit, status=401, problem=problem, next_path=page_before)
    if error.fields is None:
        if "hx-request" in request.headers:
            return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
        return RedirectResponse(f"/sign-in?next={quote(here(request))}", 303)
    return sign_in_page(
        visit,
        status=401,
        problem=visit.say("Your session ended. Sign in, and what you typed is sent."),
        next_path=request.url.path,
        fields=error.fields,
    )


async def _forbidden(request: Request, error: Exception) -> Response:
    assert isinstance(error, RoleNeeded)
    visit = Visitor(request, request.state.identity, {})
    role = visit.account.role
    if role is Role.VOLUNTEER and request.method == "GET" and request.url.path == "/":
        may_label = await run_in_threadpool(_may_label, visit)
        return RedirectResponse("/label" if may_label else "/me", 303)
    if role is None:
        message = visit.say("Your account has no role yet. Ask an owner to give you one.")
    else:
        message = visit.say(
            "This needs the role %(needed)s, and your account is a %(role)s. Ask an owner.",
            needed=visit.say(error.needed.value),
            role=visit.say(role.value),
        )
    return _message(request, visit, 403, visit.say("You may not do this"), message)


def _may_label(visit: Visitor) -> bool:
    """Return True unless the person has to agree to the terms first, or to be let in."""
    with open_session(visit.home.engine) as session:
        state = find_volunteer(session, visit.account.id)
    return state is not None and state.may_label


async def _not_our_form(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotOurForm)
    visit = Visitor(request, request.state.identity, {})
    message = visit.say("This form is from an older session, or from another site. Look at it, and send it again.")
    return again_page(visit, message, request.url.path, error.fields, status=403)


async def _too_many(_: Request, error: Exception) -> Response:
    assert isinstance(error, TooMany)
    return PlainTextResponse(
        f"too many requests with this token: try again in {error.seconds} seconds\n",
        429,
        headers={"Retry-After": str(error.seconds)},
    )


async def _no_store(request: Request, error: Exception) -> Response:
    logger.warning("a page needs the store: %s", type(error).__name__)
    headers = {"Retry-After": str(_AGAIN_SECONDS), "Cache-Control": "no-store"}
    if _is_program(request):
        return PlainTextResponse("the database cannot be reached now\n", 503, headers=headers)
    visit = _anonymous(request)
    if request.method == "POST" and not is_upload(request):
        fields = kept_fields(await request.form(), own=True)
        message = visit.say(
            "The database cannot be reached. Nothing that you typed is lost: send it again in a moment."
        )
        return again_page(visit, message, request.url.path, fields, status=503, own=True)
    response = visit.page(
        "message.html",
        status=503,
        title=visit.say("The database cannot be reached"),
        message=visit.say("This page comes back by itself once the database answers. Nothing is lost."),
        again=_AGAIN_SECONDS,
    )
    response.headers.update(headers)
    return response


async def _failed(request: Request, error: Exception) -> Response:
    visit = _somebody(request)
    status = 422 if isinstance(error, UsageError) else 409
    # the message names what to do; the page before is one step back, with what was typed
    return _message(request, visit, status, visit.say("This did not work"), str(error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    visit = _somebody(request)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or "?"
    message = visit.say("The value of %(name)s is not valid: %(why)s.", name=name, why=first["msg"])
    return _message(request, visit, 422, visit.say("This did not work"), message)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    visit = _somebody(request)
    if error.status_code == 404:
        title = visit.say("There is no such page")
        message = (
            error.detail
            if error.detail != "Not Found"
            else visit.say("It may have been removed, or the address is wrong.")
        )
    else:
        title, message = visit.say("This did not work"), str(error.detail)
    response = _message(request, visit, error.status_code, title, message)
    response.headers.update(error.headers or {})
    return response


async def _broken(request: Request, error: Exception) -> Response:
    logger.error("a page failed", exc_info=error)
    visit = _anonymous(request)
    message = visit.say("The fault is ours, and is in the log of `saring serve`. Nothing more was changed.")
    return _message(request, visit, 500, visit.say("Something went wrong"), message)


def _message(request: Request, visit: Visitor, status: int, title: str, message: str) -> Response:
    if _is_program(request):
        return PlainTextResponse(f"{message}\n", status)
    if "hx-request" in request.headers:
        return visit.fragment("fragment_message.html", status=status, message=message)
    return visit.page("message.html", status=status, title=title, message=message, again=None)


def _anonymous(request: Request) -> Visitor:
    return Visitor(request, None, {})


def _somebody(request: Request) -> Visitor:
    return Visitor(request, getattr(request.state, "identity", None), {})


def _is_program(request: Request) -> bool:
    """Return True if no person looks at the answer."""
    return "authorization" in request.headers or "text/html" not in request.headers.get("accept", "text/html, */*")
