"""Accounts of the real Label Studio: people who were invited, and tokens as the page makes them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from saring.services import LabelStudioAccess


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    user_id: int
    #: the server's API in their name, by a legacy token
    api: httpx.Client

    @property
    def rater(self) -> str:
        """What the ledger calls them."""
        return str(self.user_id)


@contextmanager
def logged_in(access: LabelStudioAccess) -> Iterator[httpx.Client]:
    """The owner at the page, with what its forms and scripts send along."""
    with httpx.Client(base_url=access.url, timeout=60, trust_env=False) as browser:
        browser.get("/user/login/")
        form = {"email": access.email, "password": access.password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post("/user/login/", data=form, headers={"Referer": access.url}).status_code == 302
        browser.headers.update({"X-CSRFToken": browser.cookies["csrftoken"], "Referer": access.url})
        yield browser


@contextmanager
def personal_token(access: LabelStudioAccess) -> Iterator[str]:
    """A personal access token of the owner, who can have one; it is revoked at the end."""
    with logged_in(access) as browser:
        for old in browser.get("/api/token/").raise_for_status().json():
            browser.post("/api/token/blacklist/", json={"refresh": old["token"]})
        token = str(browser.post("/api/token/").raise_for_status().json()["token"])
        try:
            yield token
        finally:
            browser.post("/api/token/blacklist/", json={"refresh": token})


@contextmanager
def invited(access: LabelStudioAccess) -> Iterator[Person]:
    """A new volunteer, who signed up by the invitation."""
    owner = {"Authorization": f"Token {access.api_key}"}
    invite = httpx.get(f"{access.url}/api/invite", headers=owner, trust_env=False).raise_for_status().json()
    with httpx.Client(base_url=access.url, timeout=60, trust_env=False) as browser:
        browser.get(invite["invite_url"])
        form = {
            "email": f"{uuid.uuid4().hex[:10]}@volunteers.example",
            "password": uuid.uuid4().hex,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        browser.post(invite["invite_url"], data=form, headers={"Referer": access.url})
        user_id = int(browser.get("/api/current-user/whoami").raise_for_status().json()["id"])
        token = browser.get("/api/current-user/token").raise_for_status().json()["token"]
    headers = {"Authorization": f"Token {token}"}
    with httpx.Client(base_url=access.url, headers=headers, timeout=60, trust_env=False) as api:
        yield Person(user_id, api)
