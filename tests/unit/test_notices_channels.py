"""Channels against real servers that take notices, refuse them, are slow or hang up, and against real programs."""

from __future__ import annotations

import json
import logging
import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from pipeline.errors import NoticeError, NoticeUndelivered
from pipeline.notices import mail, program, webhook
from pipeline.notices.config import Command, Email, Webhook
from pipeline.notices.message import Message
from pipeline.notices.signature import is_signed
from tests.support.receivers import MailServer, Receiver, mail_server, webhook_receiver
from tests.support.waiting import until

_SECRET = "0123456789abcdef-secret"
_NOTICE = Message(uuid.uuid4(), "disk-low", "mesin-1", "2.1 GB are free", datetime.now(UTC), "makmal")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


def hook(url: str, **options: Any) -> Webhook:
    return Webhook.model_validate({"type": "webhook", "url": url, "secret": _SECRET, "private": True} | options)


def post(channel: Webhook, waited: list[float] | None = None) -> None:
    webhook.send(channel, _NOTICE, clock=lambda: 1_772_000_000.5, sleep=(waited if waited is not None else []).append)


def test_a_webhook_gets_the_signed_notice(receiver: Receiver) -> None:
    post(hook(f"{receiver.url}?key=k%2F1"))
    [(path, headers, body)] = receiver.got
    assert path == "/hook?key=k%2F1"
    assert json.loads(body)["text"] == "2.1 GB are free"
    assert is_signed(body, headers["saring-signature"], _SECRET, now=1_772_000_000)
    assert headers["saring-notice"] == str(_NOTICE.id)
    assert headers["content-type"] == "application/json"


def test_the_name_in_the_address_is_the_host(receiver: Receiver) -> None:
    post(hook(receiver.url.replace("127.0.0.1", "localhost")))
    assert receiver.got[0][1]["host"] == receiver.url.split("/")[2].replace("127.0.0.1", "localhost")


def test_a_webhook_that_cannot_now_is_tried_again_at_once(receiver: Receiver) -> None:
    receiver.next = [503, 429]
    waited: list[float] = []
    post(hook(receiver.url), waited)
    assert [json.loads(body)["id"] for _, _, body in receiver.got] == [str(_NOTICE.id)] * 3
    assert len(waited) == 2 and all(0 <= seconds <= 5 for seconds in waited)


def test_after_three_attempts_it_is_left_for_later(receiver: Receiver) -> None:
    receiver.next = [500] * 5
    with pytest.raises(NoticeUndelivered, match=r"^http://127\.0\.0\.1:\d+ answers 500$"):
        post(hook(receiver.url))
    assert len(receiver.got) == 3


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "check the address and the secret"), (401, "check the address"), (302, "redirects are not followed")],
)
def test_what_would_fail_again_is_not_tried_again(receiver: Receiver, status: int, words: str) -> None:
    receiver.next = [status]
    with pytest.raises(NoticeError, match=words) as caught:
        post(hook(receiver.url))
    assert not isinstance(caught.value, NoticeUndelivered)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(("told", "words"), [("hang", "did not answer in 0.05 s"), ("drop", "disconnected")])
def test_what_may_have_been_taken_is_not_repeated_at_once(receiver: Receiver, told: str, words: str) -> None:
    receiver.next = [told]
    with pytest.raises(NoticeUndelivered, match=words):
        post(hook(receiver.url, timeout_seconds=0.05 if told == "hang" else 10))
    assert len(receiver.got) == 1


def test_where_nobody_listens_it_is_left_for_later() -> None:
    with webhook_receiver() as gone:
        url = gone.url
    with pytest.raises(NoticeUndelivered, match="cannot be reached: "):
        post(hook(url))


def test_a_private_address_is_called_only_where_the_file_says_so(receiver: Receiver) -> None:
    channel = hook(receiver.url).model_copy(update={"private": False})
    with pytest.raises(NoticeError, match=r"127\.0\.0\.1 is the private address"):
        post(channel)
    assert receiver.got == []


def test_the_address_of_a_webhook_is_a_secret(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    post(hook(f"{receiver.url}/T0/B0/xyzzy"))
    receiver.next = [404]
    with pytest.raises(NoticeError) as caught:
        post(hook(f"{receiver.url}/T0/B0/xyzzy"))
    assert "xyzzy" not in caplog.text + str(caught.value)
    assert _SECRET not in caplog.text


def letterbox(server: MailServer, **options: Any) -> Email:
    given = {
        "type": "email",
        "server": "localhost",
        "port": server.port,
        "from": "saring@example.org",
        "to": ["aisyah@example.org", "wei@example.org"],
        "timeout_seconds": 20,
    }
    return Email.model_validate(given | options)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for certificates that this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return tmp_path


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_letter_goes_encrypted_to_everybody(trusted: Path, security: str) -> None:
    with mail_server(trusted, password="hush-hush", wrapped=security == "tls") as server:
        mail.send(letterbox(server, security=security, user="saring", password="hush-hush"), _NOTICE)
    [letter] = server.letters
    assert (server.receivers, server.encrypted) == ([["aisyah@example.org", "wei@example.org"]], [True])
    assert letter["Subject"] == "[saring] the disk is almost full: mesin-1"
    assert "2.1 GB are free" in letter.get_content()


def test_a_relay_of_ones_own_may_take_letters_without_encryption(tmp_path: Path) -> None:
    with mail_server(tmp_path) as server:
        mail.send(letterbox(server, security="none"), _NOTICE)
    assert (len(server.letters), server.encrypted) == (1, [False])


def test_a_server_with_an_unknown_certificate_gets_no_password(tmp_path: Path) -> None:
    with (
        mail_server(tmp_path, password="hush-hush") as server,
        pytest.raises(NoticeError, match="offers no safe connection: "),
    ):
        mail.send(letterbox(server, user="saring", password="hush-hush"), _NOTICE)
    assert server.letters == []


@pytest.mark.parametrize(
    ("replies", "is_passing", "words"),
    [
        ({"EHLO": "502 no", "HELO": "250 localhost"}, False, "STARTTLS"),
        ({"RCPT": "451 try later"}, True, r"refuses the receivers \(451\)"),
        ({"RCPT": "550 no"}, False, r"refuses the receivers \(550\)"),
        ({"MAIL": "421 shutting down"}, True, r"refuses the letter \(421\)"),
        ({"END OF DATA": "554 spam"}, False, r"refuses the letter \(554\)"),
        ({"END OF DATA": "452 full"}, True, r"refuses the letter \(452\)"),
        ({"DATA": "drop"}, True, "closed"),
    ],
)
def test_what_a_mail_server_refuses(trusted: Path, replies: dict[str, str], is_passing: bool, words: str) -> None:
    with mail_server(trusted) as server:
        server.replies = replies
        with pytest.raises(NoticeError, match=words) as caught:
            mail.send(letterbox(server), _NOTICE)
    assert isinstance(caught.value, NoticeUndelivered) is is_passing
    assert server.letters == []


def test_a_wrong_password_is_told_without_it(trusted: Path) -> None:
    with (
        mail_server(trusted, password="hush-hush") as server,
        pytest.raises(NoticeError, match=r"refuses the name or the password \(535\)") as caught,
    ):
        mail.send(letterbox(server, user="saring", password="xyzzy"), _NOTICE)
    assert "xyzzy" not in str(caught.value)


def test_one_unknown_receiver_does_not_keep_the_letter_from_the_others(trusted: Path) -> None:
    with (
        mail_server(trusted) as server,
        pytest.raises(NoticeError, match="refuses 1 of 2 receivers; the others got it") as caught,
    ):
        mail.send(letterbox(server, to=["nobody@example.org", "wei@example.org"]), _NOTICE)
    assert not isinstance(caught.value, NoticeUndelivered)
    assert server.receivers == [["wei@example.org"]]


@pytest.mark.parametrize("reply", ["421 shutting down", "drop"])
def test_a_letter_that_was_taken_is_sent_however_the_connection_ends(trusted: Path, reply: str) -> None:
    with mail_server(trusted) as server:
        server.replies = {"QUIT": reply}
        mail.send(letterbox(server), _NOTICE)
    assert len(server.letters) == 1


def run(program_text: str, *, timeout: float = 30, environ: dict[str, str] | None = None) -> None:
    channel = Command(type="command", run=(sys.executable, "-c", program_text, "; touch x"), timeout_seconds=timeout)
    program.send(channel, _NOTICE, environ or {})


def test_a_program_gets_the_notice_on_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())")
    assert json.loads(out.read_text())["kind"] == "disk-low"


def test_a_program_sees_no_secrets_of_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = {"PATH": "/usr/bin", "https_proxy": "http://p", "SARING_DATABASE_URL": "postgresql://me:hunter2@h/d"}
    run(f"import os, json; json.dump(dict(os.environ), open({str(out)!r}, 'w'))", environ=given)
    seen = json.loads(out.read_text())
    assert (seen["PATH"], seen["https_proxy"], seen["SARING_NOTICE_KIND"]) == ("/usr/bin", "http://p", "disk-low")
    assert "SARING_DATABASE_URL" not in seen


def test_a_program_that_reads_nothing_takes_the_notice_too() -> None:
    run("pass")


def test_a_program_that_fails_is_tried_again_later() -> None:
    with pytest.raises(NoticeUndelivered, match="ended with status 3"):
        run("raise SystemExit(3)")


def test_a_program_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = ("/bin/sh", "-c", f"sleep 600 & echo $! > '{pid}'; wait")
    with pytest.raises(NoticeUndelivered, match=r"did not end in 0\.5 s"):
        program.send(Command(type="command", run=command, timeout_seconds=0.5), _NOTICE, {"PATH": os.environ["PATH"]})
    child = int(pid.read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie", "the child ends")


def test_a_program_that_is_not_there_is_not_tried_again() -> None:
    channel = Command(type="command", run=("/nonexistent/page", "--key", "xyzzy"))
    with pytest.raises(NoticeError, match=r"^/nonexistent/page cannot be run: No such file or directory$") as caught:
        program.send(channel, _NOTICE)
    assert not isinstance(caught.value, NoticeUndelivered)


def test_a_secret_in_a_configuration_is_no_plain_text() -> None:
    assert isinstance(hook("https://hooks.example.org/x").url, SecretStr)
