"""The pages of accounts, tokens, the audit log, settings and one's own account, as people use them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipeline.notices.kinds import Kind
from pipeline.store.tables.accounts import Role
from saring.accounts.audit import read_entries, write_entry
from saring.accounts.people import add_account, by_name
from saring.actions.notices import notify
from tests.support.receivers import webhook_receiver
from tests.support.store import new_database
from tests.support.web import Browser, Web, forms_of, serving_web, words_of

_PASSWORD = "empat perkataan yang panjang"


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    """A dashboard over an empty store, which the tests of this file share."""
    with new_database(server_url, template) as url, serving_web(module_home, url, hf_token="hunter2") as web:
        yield web


@pytest.fixture(scope="module")
def owner(web: Web) -> Browser:
    return web.client(Role.OWNER)


def _value(page: httpx.Response) -> str:
    """What a page shows once, in its only field that cannot be changed."""
    found = re.search(r'<input id="(?:secret|link)"[^>]* value="([^"]+)" readonly', page.text)
    assert found, words_of(page.text)
    return found[1]


def _id(web: Web, name: str) -> int:
    with web.home.begin() as session:
        return by_name(session, name).id


def _invited(web: Web, owner: Browser, name: str, role: Role = Role.VIEWER) -> Browser:
    """Somebody who was invited in the page of accounts and chose a password."""
    link = "/welcome/" + _value(owner.post_form("/users", "/users/add", name=name, role=role)).rpartition("/")[2]
    browser = web.anonymous()
    assert browser.post_form(link, link, password=_PASSWORD, again=_PASSWORD).status_code == 200
    return browser


def _log(web: Web, act: str) -> list[dict[str, object]]:
    with web.home.begin() as session:
        entries = read_entries(session, act=act)
    return [{**entry.details, **{k: v for outcome in entry.outcomes for k, v in outcome.items()}} for entry in entries]


def test_an_owner_invites_somebody_who_then_signs_in(web: Web, owner: Browser) -> None:
    aina = _invited(web, owner, "aina", Role.REVIEWER)
    assert "reviewer" in words_of(aina.get("/account").text)
    page = words_of(owner.get("/users").text)
    assert "aina" in page and "1 browser" in page
    again = owner.post_form("/users", "/users/add", name="Aina", role="viewer")
    assert again.status_code == 422
    assert "there is an account with the name" in words_of(again.text)
    assert 'value="Aina"' in again.text, "what was typed is there still"
    assert _log(web, "users.add")[-1] == {"name": "aina", "role": "reviewer", "email": ""}


def test_a_one_time_link_can_be_read_in_malay(web: Web, owner: Browser) -> None:
    link = (
        "/welcome/" + _value(owner.post_form("/users", "/users/add", name="kamariah", role="viewer")).rpartition("/")[2]
    )
    browser = web.anonymous()
    assert f'href="{link}?language=ms"' in browser.get(link).text
    shown = browser.get(f"{link}?language=ms", follow_redirects=True)
    assert shown.url.path == link
    assert 'lang="ms"' in shown.text.partition(">")[0] + shown.text.partition("<head>")[0]
    assert browser.post_form(link, link, password=_PASSWORD, again=_PASSWORD).status_code == 200


def test_a_name_with_letters_that_pages_use_is_refused(owner: Browser) -> None:
    refused = owner.post_form("/users", "/users/add", name="<b>x</b>", role="viewer")
    assert refused.status_code == 422
    assert "<b>x</b>" not in refused.text


def test_an_owner_changes_what_an_account_may_do(web: Web, owner: Browser) -> None:
    wei = _invited(web, owner, "wei")
    number = _id(web, "wei")
    assert wei.get("/audit").status_code == 403
    owner.post_form("/users", f"/users/{number}/role", role="maintainer")
    assert wei.get("/audit").status_code == 200
    owner.post_form("/users", f"/users/{number}/role", role="")
    refused = wei.get("/account")
    assert refused.status_code == 403 and "no role yet" in words_of(refused.text)
    owner.post_form("/users", f"/users/{number}/role", role="viewer")
    owner.post_form("/users", f"/users/{number}/rater", user="7")
    assert "Label Studio 7" in words_of(wei.get("/account").text)
    assert owner.post_form("/users", f"/users/{number}/role", role="emperor").status_code == 422


def test_the_only_owner_stays_one(web: Web, owner: Browser) -> None:
    number = _id(web, "owner")
    for action, fields in ((f"/users/{number}/role", {"role": "viewer"}), (f"/users/{number}/disable", {})):
        refused = owner.post_form("/users", action, **fields)
        assert refused.status_code == 422
        assert "is the only owner" in words_of(refused.text)


def test_a_disabled_account_is_out_at_once_and_can_come_back(web: Web, owner: Browser) -> None:
    devi = _invited(web, owner, "devi")
    number = _id(web, "devi")
    owner.post_form("/users", f"/users/{number}/disable")
    assert devi.get("/account").status_code == 303
    assert devi.post_form("/sign-in", "/sign-in", name="devi", password=_PASSWORD).status_code == 401
    owner.post_form("/users", f"/users/{number}/enable")
    assert devi.post_form("/sign-in", "/sign-in", name="devi", password=_PASSWORD).status_code == 200
    owner.post_form("/users", f"/users/{number}/sign-out")
    assert devi.get("/account").status_code == 303
    assert _log(web, "users.sign_out")[0]["sessions"] == 1


def test_a_forgotten_password_is_replaced_with_a_link(web: Web, owner: Browser) -> None:
    _invited(web, owner, "salmah")
    link = "/welcome/" + _value(owner.post_form("/users", f"/users/{_id(web, 'salmah')}/link")).rpartition("/")[2]
    browser = web.anonymous()
    assert browser.post_form(link, link, password="lain benar kali ini", again="lain benar kali ini").status_code == 200
    assert link.rpartition("/")[2] not in json.dumps(_log(web, "users"))


def test_a_token_is_shown_once_works_and_is_revoked(web: Web, owner: Browser) -> None:
    ravi = _invited(web, owner, "ravi", Role.REVIEWER)
    made = ravi.post_form("/tokens", "/tokens/make", name="skrip malam", role="viewer", per_minute=2)
    secret = _value(made)
    assert secret.startswith("saring_")
    listed = ravi.get("/tokens")
    assert secret not in listed.text and secret[:13] in listed.text
    with httpx.Client(base_url=web.url, headers={"Authorization": f"Bearer {secret}"}, trust_env=False) as program:
        assert program.get("/tokens").status_code == 200
        assert program.get("/review").status_code == 403, "less than its account"
        assert program.get("/tokens").status_code == 429, "two requests a minute"
    assert "Last used never" not in words_of(ravi.get("/tokens").text)
    number = re.search(r"/tokens/(\d+)/revoke", listed.text)
    assert number
    ravi.post_form("/tokens", f"/tokens/{number[1]}/revoke")
    assert httpx.get(f"{web.url}/tokens", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    assert secret not in json.dumps(_log(web, "tokens")), "nor does the log have it"


def test_a_token_does_no_more_than_its_maker_and_makes_no_tokens(web: Web, owner: Browser) -> None:
    viewer = web.client(Role.VIEWER)
    refused = viewer.post_form("/tokens", "/tokens/make", name="x", role="owner")
    assert refused.status_code == 422
    assert "cannot do more than its account" in words_of(refused.text)
    secret = _value(viewer.post_form("/tokens", "/tokens/make", name="x", role="viewer"))
    with httpx.Client(base_url=web.url, headers={"Authorization": f"Bearer {secret}"}, trust_env=False) as program:
        for path in ("/tokens/make", "/account/password", "/account/sessions/end-others"):
            answer = program.post(path, data={"name": "y", "role": "viewer"})
            assert (answer.status_code, "sign in with a browser" in answer.text) == (422, True)


def test_nobody_but_an_owner_sees_or_revokes_tokens_of_others(web: Web, owner: Browser) -> None:
    maker, other = web.client(Role.REVIEWER, "pembuat"), web.client(Role.MAINTAINER, "lain")
    maker.post_form("/tokens", "/tokens/make", name="kepunyaan pembuat", role="viewer")
    number = re.search(r"/tokens/(\d+)/revoke", maker.get("/tokens").text)
    assert number
    assert "kepunyaan pembuat" not in other.get("/tokens").text
    fields = next(form.fields for form in forms_of(other.get("/tokens").text) if form.action == "/tokens/make")
    assert other.send_form(f"/tokens/{number[1]}/revoke", fields).status_code == 422
    assert "kepunyaan pembuat" in owner.get("/tokens").text
    assert owner.post_form("/tokens", f"/tokens/{number[1]}/revoke").status_code == 200


def test_the_log_is_filtered_by_who_act_and_day_and_paged(web: Web, owner: Browser) -> None:
    with web.home.begin() as session:
        farid = add_account(session, "farid", Role.MAINTAINER)
        for number in range(120):
            write_entry(session, "queue.drop", {"number": number}, account_id=farid.id, who="farid")
        write_entry(session, "users.add", {"name": "<i>miring</i>"})

    def numbers(page: httpx.Response) -> list[int]:
        return [int(found) for found in re.findall(r"number:</span> (\d+)", page.text)]

    seen, address, pages = [], f"/audit?who={farid.id}&act=queue", 0
    while address:
        page = owner.get(address)
        seen += numbers(page)
        pages += 1
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert (seen, pages) == (list(range(119, -1, -1)), 3)
    assert numbers(owner.get("/audit?act=queue&since=2001-01-01&until=2001-12-31")) == []
    page = owner.get("/audit?who=command-line")
    assert "&lt;i&gt;miring&lt;/i&gt;" in page.text and "<i>miring" not in page.text
    assert numbers(page) == []


@pytest.mark.parametrize("query", ["since=yesterday", "until=0001-01-01", "who=x", "who=99999999999999999999"])
def test_a_filter_that_cannot_be_is_refused_in_the_page(owner: Browser, query: str) -> None:
    page = owner.get(f"/audit?{query}")
    assert page.status_code == 422
    assert 'role="alert"' in page.text
    assert owner.get(f"/audit/export?{query}").status_code == 422
    assert owner.get("/audit?before=99999999999999999999999").status_code == 200


def test_the_log_is_exported_as_json_lines_with_the_same_filters(web: Web, owner: Browser) -> None:
    with web.home.begin() as session:
        for number in range(3):
            write_entry(session, "eksport.cuba", {"number": number})
    answer = owner.get("/audit/export?act=eksport.cuba")
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert [json.loads(line)["details"]["number"] for line in answer.text.splitlines()] == [2, 1, 0]


def test_somebody_changes_their_password_and_other_browsers_are_out(web: Web, owner: Browser) -> None:
    here = _invited(web, owner, "mei")
    there = web.anonymous()
    there.post_form("/sign-in", "/sign-in", name="mei", password=_PASSWORD)
    wrong = here.post_form(
        "/account", "/account/password", old_password="not it at all", new_password="baharu sekali ya"
    )
    assert (wrong.status_code, "old password is wrong" in words_of(wrong.text)) == (422, True)
    short = here.post_form("/account", "/account/password", old_password=_PASSWORD, new_password="pendek")
    assert (short.status_code, "10 or more" in words_of(short.text)) == (422, True)
    changed = here.post_form("/account", "/account/password", old_password=_PASSWORD, new_password="baharu sekali ya")
    assert "The password is changed" in words_of(changed.text)
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 303
    assert there.post_form("/sign-in", "/sign-in", name="mei", password="baharu sekali ya").status_code == 200
    log = json.dumps(_log(web, "account"))
    assert not [secret for secret in (_PASSWORD, "baharu sekali", "pendek", "not it at all") if secret in log]


def test_somebody_who_guesses_the_old_password_is_slowed_down(web: Web, owner: Browser) -> None:
    kim = _invited(web, owner, "kim")
    statuses = [
        kim.post_form("/account", "/account/password", old_password="x", new_password="baharu sekali ya").status_code
        for _ in range(10)
    ]
    assert statuses[0] == 422 and statuses[-1] == 429


def test_somebody_ends_their_other_sessions(web: Web, owner: Browser) -> None:
    here = _invited(web, owner, "hana")
    others = [web.anonymous(**{"User-Agent": "Mozilla/5.0 (Android 15) Firefox/150.0"}) for _ in range(3)]
    for other in others:
        other.post_form("/sign-in", "/sign-in", name="hana", password=_PASSWORD)
    page = here.get("/account")
    assert words_of(page.text).count("Firefox, Android") == 3
    assert words_of(page.text).count("this browser") == 1
    here.post_form("/account", "/account/sessions/end")
    assert sorted(other.get("/account").status_code for other in others) == [200, 200, 303]
    here.post_form("/account", "/account/sessions/end-others")
    assert [other.get("/account").status_code for other in others] == [303] * 3
    assert here.get("/account").status_code == 200


def test_settings_are_shown_without_secrets(web: Web) -> None:
    page = web.client(Role.MAINTAINER).get("/settings")
    assert "hunter2" not in page.text
    words = words_of(page.text)
    assert "HF_TOKEN set, not shown program token of the Hugging Face Hub" in words
    assert "SARING_PULL_SECONDS 60.0 default seconds between two pulls" in words


def test_notices_are_shown_and_an_owner_tries_a_channel(web: Web, owner: Browser) -> None:
    notify(web.home, Kind.DRIFT, "scores", "the scores of hate fell by 0.1")
    assert "No channel is described there" in words_of(owner.get("/settings").text)
    path = web.home.settings.notices_file
    with webhook_receiver() as receiver:
        path.write_text(
            "channels:\n"
            f"  team: {{type: webhook, url: '{receiver.url}/xyzzy', secret: 0123456789abcdef, private: true}}\n"
        )
        path.chmod(0o600)
        page = owner.get("/settings")
        assert "xyzzy" not in page.text and "0123456789abcdef" not in page.text
        assert "the scores of hate fell by 0.1" in words_of(page.text)
        tried = owner.post_form("/settings", "/settings/notices/test", channel="team")
        assert "team took the test notice" in words_of(tried.text)
        receiver.next = [404]
        failed = owner.post_form("/settings", "/settings/notices/test", channel="team")
        assert (failed.status_code, "answers 404" in words_of(failed.text)) == (422, True)
    path.chmod(0o644)
    assert "others may read or change it" in words_of(owner.get("/settings").text)
    path.unlink()
    assert "Send a test" not in web.client(Role.MAINTAINER).get("/settings").text


@pytest.mark.parametrize("page", ["/users", "/tokens", "/audit", "/settings", "/account"])
def test_each_page_is_malay_for_those_who_read_malay(web: Web, page: str) -> None:
    client = web.client(Role.OWNER, "pemilik")
    client.post_form("/account", "/account/preferences", language="ms")
    shown = client.get(page)
    assert shown.status_code == 200
    assert '<html lang="ms"' in shown.text
    assert not re.search(r"<script(?![^>]* src=)|\sstyle=|\son\w+=", shown.text)
