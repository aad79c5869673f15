"""Sign in through an OpenID provider: /oidc/start leads there, and the browser comes back to /oidc/callback."""

from __future__ import annotations

import logging

from fastapi.responses import RedirectResponse, Response

from pipeline.errors import SaringError, UsageError
from pipeline.settings import Settings
from saring.accounts.oidc import ProviderAway, SignInRefused, find_provider, is_configured
from saring.accounts.oidc_people import begin_attempt, end_attempt, person_of
from saring.web.guard import address_of
from saring.web.pages.sign_in import sign_in_page
from saring.web.routing import Pages
from saring.web.session_cookie import set_session_cookie, sign_person_in
from saring.web.visit import Visit, Visitor, local

logger = logging.getLogger(__name__)
pages = Pages("oidc")
_MINUTES = 10


@pages.get("/start", role=None)
def start(visit: Visit, next: str = "/") -> Response:
    """Begin to sign in."""
    if not is_configured(visit.home.settings):
        return _refused(visit, UsageError("no OpenID provider is set"))
    try:
        provider = find_provider(visit.home.settings)
        with visit.home.begin() as session:
            attempt = begin_attempt(session, local(next))
        address = provider.address(
            redirect=_redirect(visit), state=attempt.state, nonce=attempt.nonce, verifier=attempt.verifier
        )
    except (ProviderAway, SignInRefused, UsageError) as error:
        return _refused(visit, error)
    response = RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        _cookie(visit),
        attempt.browser,
        max_age=60 * _MINUTES,
        path="/",
        secure=visit.web.secure,
        httponly=True,
        samesite="lax",
    )
    return response


@pages.get("/callback", role=None)
def callback(visit: Visit, state: str = "", code: str = "", error: str = "", iss: str | None = None) -> Response:
    """End signing in, and begin a session."""
    browser = visit.request.cookies.get(_cookie(visit), "")
    settings = visit.home.settings
    wait = visit.web.limits.sign_in_wait("", address_of(visit.request))
    if wait:
        return _refused(visit, SignInRefused("too many sign-ins failed from here: try again later"), status=429)
    try:
        with visit.home.begin() as session:
            attempt = end_attempt(session, state, browser)
        _check_answer(error, iss, settings)
        claims = find_provider(settings).claims(
            code=code, redirect=_redirect(visit), nonce=attempt.nonce, verifier=attempt.verifier
        )
        with visit.home.begin() as session:
            person = person_of(session, claims, settings)
    except (ProviderAway, SignInRefused, UsageError) as problem:
        if isinstance(problem, SignInRefused):
            visit.web.limits.refuse_guessers(address_of(visit.request))
        return _refused(visit, problem)
    token = sign_person_in(visit, person, "OpenID Connect")
    response = RedirectResponse(local(attempt.next_path), 303, headers={"Cache-Control": "no-store"})
    response.delete_cookie(_cookie(visit), path="/", secure=visit.web.secure, httponly=True, samesite="lax")
    set_session_cookie(visit, response, token)
    return response


def _check_answer(error: str, iss: str | None, settings: Settings) -> None:
    """Check what came back beside the code; RFC 9207 has the issuer in it.

    Raises:
        SignInRefused: the provider refused, or it is another provider's answer.
    """
    if error:
        raise SignInRefused("the provider did not let you sign in")
    if iss is not None and iss != settings.oidc_issuer:
        raise SignInRefused("the answer is from another provider: begin again")


def _refused(visit: Visitor, error: SaringError, *, status: int | None = None) -> Response:
    logger.warning("a sign-in through the OpenID provider failed: %s", error)
    if isinstance(error, ProviderAway):
        problem = visit.say("Your organisation's server does not answer as it should. Try again, or use a password.")
        return sign_in_page(visit, status=status or 502, problem=problem)
    problem = visit.say("You could not be signed in: %(why)s.", why=str(error))
    return sign_in_page(visit, status=status or (403 if isinstance(error, SignInRefused) else 422), problem=problem)


def _redirect(visit: Visitor) -> str:
    """The address of ours that the provider sends the browser back to. The provider knows it, and accepts no other."""
    url = visit.request.url
    return f"{visit.web.public_url or f'{url.scheme}://{url.netloc}'}/oidc/callback"


def _cookie(visit: Visitor) -> str:
    return "__Host-saring_oidc" if visit.web.secure else "saring_oidc"
