"""The dashboard's ground: signing in, roles, forms, languages, and what happens when something is amiss."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from pipeline import store
from pipeline.store import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.api_tokens import make_token
from saring.accounts.audit import read_entries
from saring.accounts.links import new_link
from saring.accounts.people import add_account, by_name, set_enabled
from saring.web.app import route_table
from saring.web.routing import Rule
from tests.support.store import allow_connections, new_database
from tests.support.web import Browser, Web, forms_of, serving_web, words_of

_PASSWORD = "empat perkataan yang panjang"


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    """A dashboard over an empty store, which the tests of this file share."""
    with new_database(server_url, template) as url, serving_web(module_home, url) as web:
        yield web


def _link(web: Web, name: str, role: Role = Role.VIEWER) -> str:
    with web.home.begin() as session:
        return "/welcome/" + new_link(session, add_account(session, name, role).id)


def _signed_in(web: Web, name: str, role: Role = Role.VIEWER) -> Browser:
    browser, link = web.anonymous(), _link(web, name, role)
    answer = browser.post_form(link, link, password=_PASSWORD, again=_PASSWORD)
    assert answer.status_code == 200
    return browser


def _placed(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "1", path)


@pytest.mark.parametrize("rule", route_table(), ids=lambda rule: f"{rule.method} {rule.path}")
def test_each_route_lets_in_the_roles_that_it_names_and_nobody_else(web: Web, rule: Rule) -> None:
    path, needed = _placed(rule.path), rule.role
    if needed is None:
        assert path.startswith(("/sign-in", "/sign-out", "/welcome/", "/oidc", "/join", "/enter/", "/label-worker.js"))
        return
    anonymous = web.anonymous()
    if rule.method == "GET":
        answer = anonymous.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=")
        assert anonymous.get(path, headers={"Accept": "application/json"}).status_code == 401
    else:
        assert anonymous.post(path, data={"a": "1"}).status_code == 401
    for role in Role:
        client = web.client(role)
        if role.allows(needed) and rule.method == "GET":
            with client.stream("GET", path) as response:
                assert response.status_code not in (401, 403), role
        elif not role.allows(needed):
            csrf = next(form for form in forms_of(client.get("/me").text) if "csrf" in form.fields).fields
            answer = client.get(path) if rule.method == "GET" else client.send_form(path, csrf)
            if (path, role) == ("/", Role.VOLUNTEER):
                assert answer.headers["location"] == "/me", "their own page instead, where they agree first"
                continue
            assert answer.status_code == 403, role
            assert words_of(answer.text)


def test_only_files_and_the_pages_to_sign_in_with_are_open_to_everybody(web: Web) -> None:
    known = {(rule.method, rule.path) for rule in route_table()}
    # every route of the application is in the table, so none was added beside it
    from saring.web.pages import ALL

    made = {(m, r.path) for pages in ALL for r in pages.router.routes for m in r.methods if m != "HEAD"}
    assert made == known
    anonymous = web.anonymous()
    assert anonymous.get("/no-such-page").status_code == 404
    assert anonymous.get("/docs").status_code == anonymous.get("/openapi.json").status_code == 404
    assert anonymous.get("/static/../app.py").status_code == 404


def test_a_link_works_once_and_lets_its_person_choose_a_password(web: Web) -> None:
    browser, link = web.anonymous(), _link(web, "aina")
    short = browser.post_form(link, link, password="short", again="short")
    assert short.status_code == 422
    assert "10 or more" in words_of(short.text)
    differ = browser.post_form(link, link, password=_PASSWORD, again=_PASSWORD + "x")
    assert "differ" in words_of(differ.text)
    welcomed = browser.post_form(link, link, password=_PASSWORD, again=_PASSWORD)
    assert welcomed.url.path == "/"
    assert "Welcome" in words_of(welcomed.text)
    assert web.anonymous().get(link).status_code == 404

    other = web.anonymous()
    wrong = other.post_form("/sign-in", "/sign-in", name="aina", password="not this one")
    assert wrong.status_code == 401
    assert "wrong" in words_of(wrong.text)
    right = other.post_form("/sign-in?next=/queue", "/sign-in", name="AINA", password=_PASSWORD)
    assert right.url.path == "/queue"
    cookie = next(cookie for cookie in other.cookies.jar if cookie.name == "saring_session")
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "lax"


def test_of_two_who_send_the_same_link_at_once_one_chooses_the_password(web: Web) -> None:
    link = _link(web, "kamal")
    passwords = ["kata laluan yang pertama", "kata laluan yang kedua"]
    with ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(web.anonymous().post, link, data={"password": word, "again": word}) for word in passwords]
    statuses = [answer.result().status_code for answer in sent]
    assert sorted(statuses) == [303, 404]
    chosen = passwords[statuses.index(303)]
    for word in passwords:
        signed_in = web.anonymous().post_form("/sign-in", "/sign-in", name="kamal", password=word)
        assert (signed_in.status_code == 200) == (word == chosen)


def test_nobody_is_sent_to_another_site_after_signing_in(web: Web) -> None:
    _signed_in(web, "badrul")
    for target in ("https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "javascript:alert(1)"):
        browser = web.anonymous()
        form = forms_of(browser.get("/sign-in").text)[0].fields
        answer = browser.post("/sign-in", data={**form, "name": "badrul", "password": _PASSWORD, "next": target})
        assert answer.headers["location"] == "/"


def test_a_session_that_was_ended_or_whose_account_was_disabled_is_over(web: Web) -> None:
    browser = _signed_in(web, "chandra")
    assert browser.get("/").status_code == 200
    out = browser.post_form("/", "/sign-out")
    assert out.url.path == "/sign-in"
    assert browser.get("/").status_code == 303

    browser = _signed_in(web, "devi")
    with web.home.begin() as session:
        set_enabled(session, by_name(session, "devi").id, False)
    assert browser.get("/").status_code == 303
    refused = web.anonymous().post_form("/sign-in", "/sign-in", name="devi", password=_PASSWORD)
    assert refused.status_code == 401


def test_guessing_a_password_is_slowed_down_for_the_guesser_only(web: Web) -> None:
    _signed_in(web, "eddie")
    guesser = web.anonymous()
    answers = [guesser.post_form("/sign-in", "/sign-in", name="eddie", password=f"guess {i}") for i in range(9)]
    assert [answer.status_code for answer in answers] == [401] * 8 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    # even the right one does not help now
    right = guesser.post_form("/sign-in", "/sign-in", name="eddie", password=_PASSWORD)
    assert right.status_code == 429
    other = web.anonymous().post_form("/sign-in", "/sign-in", name="badrul", password=_PASSWORD)
    assert other.status_code == 200


def test_what_was_typed_is_not_lost_when_the_session_has_ended(web: Web) -> None:
    browser = _signed_in(web, "farid")
    form = next(f for f in forms_of(browser.get("/account").text) if f.action == "/account/preferences").fields
    typed = {**form, "language": "ms", "words": 'ditaip "lama"\n<b>&amp;</b>'}
    with open_session(web.home.engine) as session, session.begin():
        session.execute(text("DELETE FROM web_session"))
    asked = browser.send_form("/account/preferences", typed)
    assert asked.status_code == 401
    assert "session ended" in words_of(asked.text)
    sign_in = forms_of(asked.text)[0].fields
    again = browser.send_form("/sign-in", {**sign_in, "name": "farid", "password": _PASSWORD})
    kept = next(form for form in forms_of(again.text) if form.action == "/account/preferences")
    assert kept.fields["words"] == typed["words"]
    assert browser.send_form(kept.action, kept.fields).status_code == 200
    with web.home.begin() as session:
        assert by_name(session, "farid").language == "ms"


def test_a_form_of_another_site_changes_nothing(web: Web) -> None:
    browser = web.client(Role.REVIEWER, "gopal")
    form = next(f for f in forms_of(browser.get("/account").text) if f.action == "/account/preferences").fields
    fields = {**form, "theme": "dark"}
    foreign = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert browser.post("/account/preferences", data=fields, headers=foreign).status_code == 403
    without = {name: value for name, value in fields.items() if name != "csrf"}
    refused = browser.send_form("/account/preferences", without)
    assert refused.status_code == 403
    with web.home.begin() as session:
        assert by_name(session, "gopal").theme is None
    # the page that says so has the form with a right token, to be sent if it was one's own
    [kept] = forms_of(refused.text.partition("<main")[2].partition("</main>")[0])
    assert kept.action == "/account/preferences"
    assert browser.send_form("/account/preferences", kept.fields).status_code == 200
    with web.home.begin() as session:
        assert by_name(session, "gopal").theme == "dark"


def test_a_form_that_is_sent_twice_is_carried_out_once_and_is_in_the_log_once(web: Web) -> None:
    browser = web.client(Role.VIEWER, "hamid")
    form = next(f for f in forms_of(browser.get("/account").text) if f.action == "/account/preferences").fields
    fields = {**form, "theme": "dark"}
    first, second = (browser.send_form("/account/preferences", fields) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert "sent twice" in words_of(second.text)
    with web.home.begin() as session:
        entries = read_entries(session, account_id=by_name(session, "hamid").id)
    assert [entry.act for entry in entries] == ["account.preferences"]
    assert entries[0].details["theme"] == "dark"
    assert "csrf" not in entries[0].details


def test_the_log_cannot_be_changed_not_even_by_hand(web: Web) -> None:
    web.client(Role.VIEWER, "hamid").post_form("/account", "/account/preferences", theme="dark")
    for statement in ("UPDATE audit_entry SET who = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
        with open_session(web.home.engine) as session, pytest.raises(DBAPIError, match="append-only"):
            session.execute(text(statement))


def test_a_token_may_do_what_its_role_says_and_as_often_as_its_rate(web: Web) -> None:
    with web.home.begin() as session:
        owner = add_account(session, "ismail", Role.OWNER)
        _, viewer = make_token(session, owner, "a reader", Role.VIEWER, per_minute=4)
        token, revoked = make_token(session, owner, "an old one", Role.OWNER)
        from saring.accounts.api_tokens import revoke_token

        revoke_token(session, token.id)
        stored = session.scalars(select(store.ApiToken.token_hash)).all()
    assert all(viewer.encode() not in hashed for hashed in stored)

    def ask(secret: str, path: str = "/") -> httpx.Response:
        return httpx.get(web.url + path, headers={"Authorization": f"Bearer {secret}"}, trust_env=False)

    assert ask(revoked).status_code == ask("saring_nonsense").status_code == 401
    assert ask(viewer).status_code == 200
    assert ask(viewer, "/users").status_code == 403
    assert [ask(viewer).status_code for _ in range(3)] == [200, 200, 429]
    assert int(ask(viewer).headers["retry-after"]) > 0


def test_it_speaks_malay_to_those_who_ask_for_it(web: Web) -> None:
    malay = web.anonymous(**{"Accept-Language": "ms-MY,ms;q=0.9,en;q=0.5"})
    assert 'lang="ms"' in malay.get("/sign-in").text
    browser = web.client(Role.VIEWER, "jamilah")
    english = browser.get("/").text
    browser.post_form("/account", "/account/preferences", language="ms")
    assert "<title>Overview" in english
    assert "<title>Ringkasan" in browser.get("/").text


def test_what_a_browser_may_load_is_said_with_every_answer(web: Web) -> None:
    browser = web.client(Role.VIEWER)
    for path in ("/", "/sign-in", "/no-such-page", "/static/saring.css"):
        policy = browser.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    page = browser.get("/").text
    assert not re.search(r"<script(?![^>]* src=)|\sstyle=|\son\w+=|javascript:", page)


def test_a_report_is_served_in_a_sandbox_and_nothing_beside_it(web: Web) -> None:
    folder = web.home.settings.reports_dir
    folder.mkdir(parents=True)
    (folder / "explore.html").write_text("<script>1</script>")
    (folder / "secret.json").write_text("{}")
    browser = web.client(Role.VIEWER)
    assert "explore.html" in browser.get("/reports").text
    answer = browser.get("/reports/explore.html")
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    assert browser.get("/reports/secret.json").status_code == 404
    assert browser.get("/reports/..%2fbackend.json").status_code == 404


def test_a_database_that_is_away_is_told_of_and_the_page_comes_back(
    server_url: str, template: str, new_home: Path
) -> None:
    with new_database(server_url, template) as url, serving_web(new_home, url) as web:
        browser = web.client(Role.VIEWER)
        form = next(f for f in forms_of(browser.get("/account").text) if f.action == "/account/preferences").fields
        name = url.rsplit("/", 1)[1].partition("?")[0]
        allow_connections(server_url, name, False)
        page = browser.get("/")
        assert page.status_code == 503
        assert 'data-again="5"' in page.text
        sent = browser.send_form("/account/preferences", {**form, "theme": "dark", "words": "ditaip"})
        assert sent.status_code == 503
        kept = forms_of(sent.text)[-1]
        allow_connections(server_url, name, True)
        assert browser.get("/").status_code == 200
        assert kept.fields["words"] == "ditaip"
        assert browser.send_form(kept.action, kept.fields).status_code == 200
        with web.home.begin() as session:
            assert by_name(session, "viewer").theme == "dark"


def test_broken_letters_and_very_long_values_are_no_fault_of_ours(web: Web) -> None:
    browser = web.client(Role.OWNER)
    form = next(f for f in forms_of(browser.get("/account").text) if f.action == "/account/preferences").fields
    for value in ("\0", "\ud800".encode("utf-8", "surrogatepass"), b"\xff\xfe", "x" * 1_000_000, "😀" * 10):
        answer = browser.post("/account/preferences", data={**form, "form_key": "", "language": value})
        assert answer.status_code < 500, value[:5]
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    too_long = browser.post("/account/preferences", content=b"a=" + b"x" * (9 << 20), headers=kind)
    assert too_long.status_code == 413
