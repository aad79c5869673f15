"""Requests to a real Label Studio: tokens, what is asked again and what never is, and errors that say what to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from pipeline.errors import (
    LabelStudioError,
    LabelStudioMissing,
    LabelStudioRefused,
    LabelStudioUnavailable,
    UncertainOutcome,
)
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.api.connection import Connection
from tests.support.label_studio import logged_in, personal_token
from tests.support.proxies import Answer, Fault, FaultyProxy, Front, faulty_proxy, front

RENEWAL, WHO = "POST /api/token/refresh/", "GET /api/current-user/whoami"
#: an address of loopback where nobody listens
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def before(label_studio: LabelStudioAccess) -> Iterator[Front]:
    with front(label_studio.url) as made:
        yield made


@pytest.fixture
def proxy(label_studio: LabelStudioAccess) -> Iterator[FaultyProxy]:
    with faulty_proxy(label_studio.url) as made:
        yield made


class Sleeper:
    """Waits for nobody, and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def one_line(caught: pytest.ExceptionInfo[Any]) -> str:
    said = str(caught.value)
    assert said
    assert "\n" not in said
    return said


def count_projects(access: LabelStudioAccess) -> int:
    headers = {"Authorization": f"Token {access.api_key}"}
    found = httpx.get(f"{access.url}/api/projects/", headers=headers, timeout=60, trust_env=False)
    return int(found.raise_for_status().json()["count"])


def test_a_legacy_token_is_sent_as_it_is(before: Front, label_studio: LabelStudioAccess) -> None:
    with LabelStudio(before.url, f" {label_studio.api_key}\n") as client:
        assert client.whoami().email == label_studio.email
    assert before.seen == [WHO]


def test_a_personal_token_is_renewed_once_and_again_when_it_expires_or_is_refused(
    before: Front, label_studio: LabelStudioAccess
) -> None:
    with personal_token(label_studio) as token, LabelStudio(before.url, token) as client:
        for _ in range(3):
            assert client.whoami().email == label_studio.email
        assert before.seen == [RENEWAL, WHO, WHO, WHO]

        client._http._tokens.expire()  # five minutes pass
        assert client.whoami().email == label_studio.email
        assert before.seen[4:] == [RENEWAL, WHO]

        client._http._tokens._access = "no.longer.valid"
        assert client.whoami().email == label_studio.email
        assert before.seen[6:] == [WHO, RENEWAL, WHO]


def test_what_creates_is_sent_again_only_after_a_plain_refusal_of_the_token(
    before: Front, label_studio: LabelStudioAccess
) -> None:
    with personal_token(label_studio) as token, LabelStudio(before.url, token) as client:
        client.whoami()
        client._http._tokens._access = "no.longer.valid"
        there = count_projects(label_studio)
        client.create_project(title="made once")
        assert before.count("POST /api/projects/") == 2
        assert count_projects(label_studio) == there + 1


def test_a_server_at_a_path_is_spoken_to_at_that_path_for_everything(label_studio: LabelStudioAccess) -> None:
    with front(label_studio.url, "/label") as made, personal_token(label_studio) as token:
        for address in (f"{made.url}/label", f"{made.url}/label/"):
            with LabelStudio(address, token) as client:
                assert client.whoami().email == label_studio.email
                assert client.projects() is not None
        assert {one.split()[1].split("/")[1] for one in made.seen} == {"label"}
        assert made.count("POST /label/api/token/refresh/") == 2
        # with the path forgotten, it says what to check
        with LabelStudio(made.url, token) as client, pytest.raises(LabelStudioUnavailable) as caught:
            client.delete("/api/tasks/1/")
        assert "LABEL_STUDIO_URL" in one_line(caught)


def test_a_personal_token_that_was_revoked_is_refused_in_words(label_studio: LabelStudioAccess, before: Front) -> None:
    with personal_token(label_studio) as token, LabelStudio(before.url, token) as client:
        with logged_in(label_studio) as browser:
            browser.post("/api/token/blacklist/", json={"refresh": token}).raise_for_status()
        with pytest.raises(LabelStudioRefused) as caught:
            client.whoami()
        said = one_line(caught)
        assert "401" in said
        assert "LABEL_STUDIO_API_KEY" in said
        assert before.url in said
        assert token not in said
        assert before.seen == [RENEWAL], "nobody is asked again"


@pytest.mark.parametrize("key", ["0" * 40, "", "two words", "kunci rahsia\nbaris dua", "kunciaé"])
def test_a_wrong_token_is_refused_in_words_that_do_not_hold_it(label_studio: LabelStudioAccess, key: str) -> None:
    with LabelStudio(label_studio.url, key) as client:
        for ask in (client.whoami, lambda: client.create_project(title="never")):
            with pytest.raises(LabelStudioRefused) as caught:
                ask()
            said = one_line(caught)
            assert "LABEL_STUDIO_API_KEY" in said
            assert label_studio.url in said
            assert not key or key.splitlines()[0] not in said


def test_what_the_account_may_not_do_is_told_from_what_is_not_there(
    proxy: FaultyProxy, label_studio: LabelStudioAccess
) -> None:
    sleeper = Sleeper()
    with LabelStudio(proxy.url, label_studio.api_key, sleep=sleeper) as client:
        proxy.fail(Fault.FORBIDDEN, "GET", "/api/projects/1/")
        with pytest.raises(LabelStudioRefused, match=r"403: as the test wants it"):
            client.project(1)
        with pytest.raises(LabelStudioMissing, match=r"GET /api/projects/987654/: not there \(404\)"):
            client.project(987_654)
        assert client.delete("/api/tasks/987654/") is None, "what is gone is deleted"
    assert sleeper.slept == []


def test_what_the_server_does_not_accept_is_said_in_its_words(label_studio: LabelStudioAccess) -> None:
    with LabelStudio(label_studio.url, label_studio.api_key) as client, pytest.raises(LabelStudioError) as caught:
        client.create_project(title="x")
    said = one_line(caught)
    assert "does not accept POST /api/projects/ (400" in said
    assert "title" in said


def test_after_429_it_waits_as_long_as_the_server_says(before: Front, label_studio: LabelStudioAccess) -> None:
    in_a_while = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    said = ["3", "9999", in_a_while]
    before.says(WHO, *(Answer(429, headers={"Retry-After": value}) for value in said))
    sleeper = Sleeper()
    with LabelStudio(before.url, label_studio.api_key, sleep=sleeper) as client:
        assert client.whoami().email == label_studio.email
    first, second, third = sleeper.slept
    assert (first, second) == (3.0, 30.0), "half a minute at most"
    assert 0 < third <= 20
    assert before.count(WHO) == 4


@pytest.mark.parametrize("value", ["soon", "", "²", "-5"])
def test_a_wait_that_cannot_be_understood_is_our_own(
    before: Front, label_studio: LabelStudioAccess, value: str
) -> None:
    before.says(WHO, Answer(503, headers={"Retry-After": value}), Answer(503), Answer(503))
    sleeper = Sleeper()
    with LabelStudio(before.url, label_studio.api_key, sleep=sleeper) as client:
        client.whoami()
    assert sleeper.slept == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    "fault",
    [Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.TOO_MANY, Fault.NEVER_ARRIVES, Fault.HALF_BODY, Fault.NOT_JSON],
)
def test_what_only_reads_is_asked_four_times_and_no_more(
    proxy: FaultyProxy, label_studio: LabelStudioAccess, fault: Fault
) -> None:
    sleeper = Sleeper()
    with LabelStudio(proxy.url, label_studio.api_key, sleep=sleeper) as client:
        proxy.fail(fault, "GET", "/whoami", times=3)
        assert client.whoami().email == label_studio.email
        assert len(sleeper.slept) == 3
        proxy.fail(fault, "GET", "/whoami", times=4)
        with pytest.raises(LabelStudioUnavailable) as caught:
            client.whoami()
        assert "GET /api/current-user/whoami" in one_line(caught)
        assert proxy.count("GET", "/whoami") == 8


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        (Fault.SERVER_ERROR, 0),
        (Fault.TOO_MANY, 0),
        (Fault.NEVER_ARRIVES, 0),
        (Fault.LOST_ANSWER, 1),
        (Fault.BAD_GATEWAY_AFTER, 1),
        (Fault.HALF_BODY, 1),
        (Fault.NOT_JSON, 1),
    ],
)
def test_what_creates_is_asked_once_whatever_comes_back(
    proxy: FaultyProxy, label_studio: LabelStudioAccess, fault: Fault, made: int
) -> None:
    there = count_projects(label_studio)
    sleeper = Sleeper()
    with LabelStudio(proxy.url, label_studio.api_key, sleep=sleeper) as client:
        proxy.fail(fault, "POST", "/api/projects/")
        with pytest.raises(UncertainOutcome) as caught:
            client.create_project(title="perhaps")
        assert "not known" in one_line(caught)
    assert proxy.count("POST", "/api/projects/") == 1
    assert sleeper.slept == []
    assert count_projects(label_studio) == there + made


def test_an_answer_that_cannot_be_unpacked_leaves_it_open_whether_something_was_made(
    before: Front, label_studio: LabelStudioAccess
) -> None:
    garbled = Answer(201, b"not zipped at all", {"content-encoding": "gzip", "content-type": "application/json"})
    before.says("POST /api/projects/", garbled)
    with LabelStudio(before.url, label_studio.api_key) as client, pytest.raises(UncertainOutcome):
        client.create_project(title="perhaps")


def test_where_the_token_cannot_be_renewed_it_is_known_that_nothing_was_made(
    before: Front, label_studio: LabelStudioAccess
) -> None:
    with personal_token(label_studio) as token, LabelStudio(before.url, token, sleep=lambda _: None) as client:
        before.says(RENEWAL, Answer(503))
        with pytest.raises(LabelStudioUnavailable, match="503"):
            client.create_project(title="never")
        assert before.seen == [RENEWAL]
        # what only reads goes on when it can be renewed
        before.says(RENEWAL, Answer(503), Answer(200, b"<html>"), Answer(200, b'{"refresh": 1}'))
        assert client.whoami().email == label_studio.email


@pytest.mark.parametrize("body", [b"[]", b"null", b"{}", b'"hello"', b""])
def test_json_that_is_no_project_is_not_taken_for_one(
    before: Front, label_studio: LabelStudioAccess, body: bytes
) -> None:
    before.says("GET /api/projects/", Answer(200, body), Answer(200, body))
    with LabelStudio(before.url, label_studio.api_key, sleep=lambda _: None) as client:
        with pytest.raises(LabelStudioUnavailable, match="project 5"):
            client.project(5)
        with pytest.raises(LabelStudioUnavailable, match="list of projects"):
            client.projects()


def test_a_redirect_is_not_followed_with_the_token_but_named(before: Front, label_studio: LabelStudioAccess) -> None:
    before.says(WHO, Answer(301, b"", {"Location": "https://labels.example/api/current-user/whoami"}))
    with LabelStudio(before.url, label_studio.api_key) as client, pytest.raises(LabelStudioError) as caught:
        client.whoami()
    assert "https://labels.example" in one_line(caught)
    assert "LABEL_STUDIO_URL" in str(caught.value)


@pytest.mark.parametrize("creating", [True, False])
def test_where_nobody_listens_it_says_so(creating: bool) -> None:
    sleeper = Sleeper()
    with LabelStudio(NOBODY, "0" * 40, sleep=sleeper) as client, pytest.raises(LabelStudioUnavailable) as caught:
        _ = client.create_project(title="never") if creating else client.whoami()
    said = one_line(caught)
    assert said.startswith(f"{NOBODY} does not answer")
    assert "saring doctor" in said
    assert len(sleeper.slept) == (0 if creating else 3)


def test_https_at_a_plain_port_is_named_as_such(label_studio: LabelStudioAccess) -> None:
    address = label_studio.url.replace("http://", "https://")
    with (
        LabelStudio(address, label_studio.api_key, sleep=lambda _: None) as client,
        pytest.raises(LabelStudioUnavailable) as caught,
    ):
        client.create_project(title="never")
    said = one_line(caught)
    assert address in said
    assert "SSL" in said.upper()


def test_an_address_that_is_none_is_named_as_such() -> None:
    with (
        Connection("http://localhost:port", "0" * 40, sleep=lambda _: None) as client,
        pytest.raises(LabelStudioUnavailable, match="LABEL_STUDIO_URL"),
    ):
        client.get("/api/version")


def test_no_secret_is_in_what_is_logged_or_said(
    proxy: FaultyProxy, label_studio: LabelStudioAccess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    with personal_token(label_studio) as token:
        for key in (token, label_studio.api_key):
            with LabelStudio(proxy.url, key, sleep=lambda _: None) as client:
                client.whoami()
                for fault in (Fault.UNAUTHORIZED, Fault.SERVER_ERROR, Fault.HALF_BODY, Fault.NOT_JSON):
                    proxy.fail(fault, "GET", "/whoami", times=4)
                    with pytest.raises(LabelStudioError) as caught:
                        client.whoami()
                    said.append(str(caught.value) + repr(caught.value))
                    proxy._rules.clear()
                if key == token:
                    access = client._http._tokens._access
    everything = caplog.text + "".join(said)
    assert len(said) == 8
    for secret in (token, access, label_studio.api_key):
        assert len(secret) > 20
        assert secret not in everything
