"""A new user of Label Studio with a token, made by the invitation of its owner, as a person would sign up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import httpx

from pipeline.errors import LabelStudioError, LabelStudioUnavailable, first_line

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user that was just made."""

    #: Label Studio user id
    user: str
    #: a legacy token, or where the server has none, a personal access token
    token: str = field(repr=False)


def sign_up(url: str, invitation: str, email: str) -> NewUser:
    """Sign up with a password that nobody knows, and take a token.

    Args:
        url: address of the server, without a slash at its end.
        invitation: path of the owner's invitation.
        email: the address that the user is known by.

    Raises:
        LabelStudioUnavailable: the server does not answer.
        LabelStudioError: it does not let anybody sign up, or gives no token.
    """
    try:
        with httpx.Client(base_url=url, timeout=_TIMEOUT, follow_redirects=False) as browser:
            browser.get(invitation).raise_for_status()
            password = secrets.token_urlsafe(24)
            form = {"email": email, "password": password, "csrfmiddlewaretoken": browser.cookies.get("csrftoken") or ""}
            browser.post(invitation, data=form, headers={"Referer": url})
            known = browser.get("/api/current-user/whoami")
            if not known.is_success or str(known.json().get("email", "")).casefold() != email.casefold():
                raise LabelStudioError(
                    f"{url} does not let new people sign up by its invitation: paste a token instead"
                )
            return NewUser(str(int(known.json()["id"])), _token(browser, url))
    except httpx.HTTPError as error:
        raise LabelStudioUnavailable(f"{url} does not answer ({first_line(error)}); see `saring doctor`") from error


def _token(browser: httpx.Client, url: str) -> str:
    legacy = browser.get("/api/current-user/token")
    if legacy.is_success:
        token = str(legacy.json().get("token") or "")
        headers = {"Authorization": f"Token {token}"}
        # the server gives such a token out even where it does not take it
        if token and httpx.get(f"{url}/api/current-user/whoami", headers=headers, timeout=_TIMEOUT).is_success:
            return token
    proof = {"X-CSRFToken": browser.cookies.get("csrftoken") or "", "Referer": url}
    personal = browser.post("/api/token/", headers=proof)
    token = str(personal.json().get("token") or "") if personal.is_success else ""
    if not token:
        raise LabelStudioError(f"{url} gives a new user no token: allow personal access tokens in its organization")
    return token
