"""Signing in through a real OpenID provider, and through one that is wrong in each way that matters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipeline.settings import Settings
from pipeline.store.tables.accounts import Role
from saring.accounts.audit import read_entries
from saring.accounts.people import add_account, all_accounts, by_name, set_enabled, set_role
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider, oidc_provider
from tests.support.store import new_database
from tests.support.web import Browser, Web, forms_of, serving_web, words_of


@pytest.fixture(scope="module")
def running() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path, running: OidcProvider) -> Iterator[Web]:
    """A dashboard over an empty store, which the tests of this file share."""
    given = {"oidc_issuer": running.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    with new_database(server_url, template) as url, serving_web(module_home, url, **given) as web:
        running.redirects.add(f"{web.url}/oidc/callback")
        yield web


@pytest.fixture
def provider(running: OidcProvider, web: Web) -> Iterator[OidcProvider]:
    """The provider as it should be, and an account of its own for each test."""
    before = web.home.settings
    yield running
    running.person = {"sub": "u-1", "preferred_username": "aina", "email": "aina@example.org"}
    running.claims, running.about, running.signed = {}, {}, "right"
    running.refuses, running.broken = False, set()
    web.home.settings = before


def change(web: Web, **settings: object) -> None:
    web.home.settings = web.home.settings.model_copy(update=settings)


def sign_in(web: Web, browser: Browser | None = None, path: str = "/") -> tuple[Browser, httpx.Response]:
    """Press the button, go through the provider, and come back."""
    browser = browser or web.anonymous()
    return browser, browser.get(f"/oidc/start?next={path}", follow_redirects=True)


def test_somebody_new_waits_for_an_owner_to_give_a_role(web: Web, provider: OidcProvider) -> None:
    assert 'href="/oidc/start?next=/queue"' in web.anonymous().get("/sign-in?next=/queue").text
    browser, page = sign_in(web, path="/queue")
    assert (page.status_code, page.url.path) == (403, "/queue")
    assert "Your account has no role yet" in words_of(page.text)
    with web.home.begin() as session:
        person = by_name(session, "aina")
        assert (person.role, person.email, person.has_password) == (None, "aina@example.org", False)
    assert "aina waits for a role" in words_of(web.client(Role.OWNER).get("/users").text)
    with web.home.begin() as session:
        set_role(session, person.id, Role.REVIEWER)
    assert browser.get("/queue").status_code == 200
    # known by the subject and not by the name
    provider.person = {"sub": "u-1", "preferred_username": "nama baharu"}
    again, page = sign_in(web)
    assert page.status_code == 200
    assert "aina" in again.get("/account").text
    with web.home.begin() as session:
        acts = [(entry.act, dict(entry.details)) for entry in read_entries(session, account_id=person.id)]
    assert acts[-2:] == [
        ("account.sign_in", {"with": "OpenID Connect"}),
        ("account.made", {"with": "OpenID Connect", "role": None}),
    ]


def test_an_account_with_the_same_name_is_not_taken_over(web: Web, provider: OidcProvider) -> None:
    with web.home.begin() as session:
        add_account(session, "siti", Role.MAINTAINER, email="siti@example.org")
    provider.person = {"sub": "u-2", "preferred_username": "Siti", "email": "siti@example.org"}
    _, page = sign_in(web)
    assert page.status_code == 403
    with web.home.begin() as session:
        assert by_name(session, "Siti-2").role is None


@pytest.mark.parametrize(
    ("given", "name"),
    [("<b>x</b> & y", "b-x-/b-y"), ("  ", "user"), ("a" * 200, "a" * 60), ("nama\x00 panjang", "nama-panjang")],
)
def test_a_name_is_made_fit_for_an_account(web: Web, provider: OidcProvider, given: str, name: str) -> None:
    provider.person = {"sub": f"odd-{len(given)}-{given[:1]!r}", "preferred_username": given}
    sign_in(web)
    with web.home.begin() as session:
        assert by_name(session, name).role is None


def test_the_first_role_is_a_setting(web: Web, provider: OidcProvider) -> None:
    change(web, oidc_role="viewer")
    provider.person = {"sub": "u-3", "preferred_username": "ravi"}
    _, page = sign_in(web)
    assert page.status_code == 200
    with web.home.begin() as session:
        assert by_name(session, "ravi").role is Role.VIEWER


def test_groups_give_roles_at_each_sign_in(web: Web, provider: OidcProvider) -> None:
    change(web, oidc_role_claim="groups", oidc_roles=("penyemak=reviewer", "ketua=maintainer"))
    for groups, role in ((["penyemak", "ketua"], Role.MAINTAINER), ("penyemak", Role.REVIEWER), (["lain"], None)):
        provider.person = {"sub": "u-4", "preferred_username": "wei", "groups": groups}
        sign_in(web)
        with web.home.begin() as session:
            assert by_name(session, "wei").role is role


def test_the_only_owner_stays_one_whatever_groups_say(web: Web, provider: OidcProvider) -> None:
    change(web, oidc_role_claim="groups", oidc_roles=("tuan=owner",))
    provider.person = {"sub": "u-5", "preferred_username": "tuan", "groups": ["tuan"]}
    sign_in(web)
    with web.home.begin() as session:
        for person in all_accounts(session):
            if person.role is Role.OWNER and person.name != "tuan":
                set_role(session, person.id, Role.VIEWER)
    provider.person["groups"] = []
    assert sign_in(web)[1].status_code == 200
    with web.home.begin() as session:
        assert by_name(session, "tuan").role is Role.OWNER


def test_a_disabled_account_stays_out(web: Web, provider: OidcProvider) -> None:
    change(web, oidc_role="viewer")
    provider.person = {"sub": "u-6", "preferred_username": "devi"}
    sign_in(web)
    with web.home.begin() as session:
        set_enabled(session, by_name(session, "devi").id, False)
    browser, page = sign_in(web)
    assert (page.status_code, "is disabled" in words_of(page.text)) == (403, True)
    assert browser.get("/account").status_code == 303


_NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "signed"),
    [
        ({"nonce": "another"}, "right"),
        ({"nonce": None}, "right"),
        ({"aud": "another-program"}, "right"),
        ({"aud": [CLIENT, "another-program"]}, "right"),
        ({"azp": "another-program"}, "right"),
        ({"iss": "https://another.example.org"}, "right"),
        ({"exp": _NOW - 3600}, "right"),
        ({"exp": None}, "right"),
        ({"iat": _NOW + 86_400}, "right"),
        ({"sub": None}, "right"),
        ({"sub": 7}, "right"),
        ({}, "other key"),
        ({}, "none"),
        ({}, "public key as secret"),
    ],
)
def test_a_token_that_is_wrong_signs_nobody_in(
    web: Web, provider: OidcProvider, claims: dict[str, object], signed: str
) -> None:
    change(web, oidc_role="owner")
    provider.person = {"sub": "u-7", "preferred_username": "penyamar"}
    provider.claims, provider.signed = claims, signed
    browser, page = sign_in(web)
    assert page.status_code == 403, words_of(page.text)
    assert "You could not be signed in" in words_of(page.text)
    assert browser.get("/account").status_code == 303
    with web.home.begin() as session, pytest.raises(Exception, match="there is no account"):
        by_name(session, "penyamar")


def test_a_sign_in_ends_once_and_in_the_browser_that_began_it(web: Web, provider: OidcProvider) -> None:
    browser = web.anonymous()
    begun = browser.get("/oidc/start")
    assert browser.cookies.jar and "HttpOnly" in begun.headers["set-cookie"]
    back = httpx.get(begun.headers["location"]).headers["location"]
    stolen = web.anonymous().get(back)
    assert (stolen.status_code, "another browser" in words_of(stolen.text)) == (403, True)
    assert browser.get(back).status_code == 303
    assert browser.get(back).status_code == 403
    assert web.anonymous().get("/oidc/callback?state=x&code=y").status_code == 403


def test_an_answer_of_another_provider_is_refused(web: Web, provider: OidcProvider) -> None:
    browser = web.anonymous()
    back = httpx.get(browser.get("/oidc/start").headers["location"]).headers["location"]
    mixed = str(httpx.URL(back).copy_set_param("iss", "https://another.example.org"))
    assert browser.get(mixed).status_code == 403


def test_somebody_who_refuses_at_the_provider_is_told(web: Web, provider: OidcProvider) -> None:
    provider.refuses = True
    _, page = sign_in(web)
    assert (page.status_code, "did not let you sign in" in words_of(page.text)) == (403, True)


@pytest.mark.parametrize(
    ("about", "broken"),
    [
        ({}, "/.well-known/openid-configuration"),
        ({}, "/token"),
        ({}, "/keys"),
        ({"issuer": "https://another.example.org"}, ""),
        ({"token_endpoint": "http://another.example.org/token"}, ""),
        ({"jwks_uri": None}, ""),
    ],
)
def test_a_provider_that_is_away_or_odd_is_told_of(
    web: Web, provider: OidcProvider, about: dict[str, object], broken: str
) -> None:
    provider.about, provider.broken = about, {broken}
    browser, page = sign_in(web)
    assert page.status_code == 502
    assert "does not answer as it should" in words_of(page.text)
    assert browser.get("/account").status_code == 303


def test_nobody_is_sent_to_another_site(web: Web, provider: OidcProvider) -> None:
    change(web, oidc_role="viewer")
    provider.person = {"sub": "u-8", "preferred_username": "mei"}
    _, page = sign_in(web, path="https://evil.example.org/")
    assert page.url.path == "/"
    assert str(page.url).startswith(web.url)


def test_what_was_typed_is_kept_while_somebody_signs_in_in_another_tab(web: Web, provider: OidcProvider) -> None:
    change(web, oidc_role="viewer")
    provider.person = {"sub": "u-9", "preferred_username": "hana"}
    browser, _ = sign_in(web)
    form = next(f for f in forms_of(browser.get("/account").text) if f.action == "/account/preferences").fields
    browser.post("/sign-out", headers={"Origin": web.url})
    ended = browser.send_form("/account/preferences", {**form, "theme": "dark", "words": "ditaip <panjang>"})
    assert ended.status_code == 401
    sign_in(web, browser)
    kept = next(form for form in forms_of(ended.text) if form.action == "/account/preferences")
    again = browser.send_form(kept.action, kept.fields)
    assert again.status_code == 403
    shown = next(form for form in forms_of(again.text) if form.fields.get("words") == "ditaip <panjang>")
    assert browser.send_form(shown.action, shown.fields).status_code == 200
    with web.home.begin() as session:
        assert by_name(session, "hana").theme == "dark"


def test_without_a_provider_there_is_no_button(web: Web, provider: OidcProvider) -> None:
    change(web, oidc_issuer=None)
    assert "/oidc/start" not in web.anonymous().get("/sign-in").text
    assert web.anonymous().get("/oidc/start").status_code == 422


@pytest.mark.parametrize("roles", ["tuan", "tuan=emperor", "=owner"])
def test_groups_are_written_with_roles_that_there_are(roles: str) -> None:
    with pytest.raises(ValueError, match="write GROUP=ROLE"):
        Settings(home=Path("/nonexistent"), oidc_roles=roles)
