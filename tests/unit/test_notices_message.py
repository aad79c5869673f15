"""The form of a notice, its signature, and the addresses that a webhook may go to."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import uuid
from datetime import UTC, datetime

import pytest

from pipeline.errors import NoticeError, NoticeUndelivered
from pipeline.notices.addresses import checked_address, may_be_used
from pipeline.notices.find import failed_message
from pipeline.notices.message import Message, one_line
from pipeline.notices.signature import is_signed, sign
from pipeline.store.tables.core import RunState

_ID = uuid.UUID("9f2b3c4d-0000-4000-8000-000000000001")
_AT = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


def message(held_back: int = 0) -> Message:
    return Message(_ID, "run-failed", "embed", "run 12 (embed) failed", _AT, "makmal", held_back)


def test_the_json_object_for_programs() -> None:
    assert json.loads(message(held_back=3).to_json()) == {
        "id": str(_ID),
        "kind": "run-failed",
        "subject": "embed",
        "title": "a run failed: embed",
        "text": "run 12 (embed) failed (3 earlier ones were held back)",
        "at": "2026-03-01T12:00:05+00:00",
        "from": "makmal",
        "held_back": 3,
        "attempt": 1,
        "test": False,
    }


def test_the_letter_for_people() -> None:
    letter = message(held_back=1).to_email("saring@example.org", ("aisyah@example.org", "wei@example.org"))
    assert letter["Subject"] == "[saring] a run failed: embed"
    assert letter["To"] == "aisyah@example.org, wei@example.org"
    assert letter["Message-ID"] == f"<{_ID}@example.org>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert "run 12 (embed) failed (1 earlier one was held back)" in letter.get_content()


def test_a_repeated_letter_has_the_same_id() -> None:
    letters = [message(held).to_email("saring@example.org", ("a@example.org",)) for held in (0, 2)]
    assert letters[0]["Message-ID"] == letters[1]["Message-ID"]


def test_the_signature_is_over_time_and_body() -> None:
    """Checked as a receiver in any language would."""
    header = sign(b'{"a":1}', "a-secret-of-the-owner", 1_772_000_000)
    expected = hmac.new(b"a-secret-of-the-owner", b'1772000000.{"a":1}', hashlib.sha256).hexdigest()
    assert header == f"t=1772000000,v1={expected}"


@pytest.mark.parametrize(
    ("body", "secret", "now", "is_right"),
    [
        (b"{}", "right", 1000, True),
        (b"{}", "right", 1299, True),
        (b"{}", "right", 1301, False),
        (b"{}", "right", 600, False),
        (b"{ }", "right", 1000, False),
        (b"{}", "wrong", 1000, False),
    ],
)
def test_a_receiver_refuses_what_is_changed_or_old(body: bytes, secret: str, now: int, is_right: bool) -> None:
    assert is_signed(body, sign(b"{}", "right", 1000), secret, now=now) is is_right


@pytest.mark.parametrize("header", ["", "t=1000", "v1=00", "t=x,v1=" + "0" * 64, "t=1000,v1=" + "0" * 63])
def test_a_receiver_refuses_what_is_no_signature(header: str) -> None:
    assert not is_signed(b"{}", header, "right", now=1000)


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:220:1::1", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("192.168.1.5", False, True),
        ("100.64.0.1", False, True),
        ("::1", False, True),
        ("fd00::1", False, True),
        # an address within an address
        ("::ffff:127.0.0.1", False, True),
        ("64:ff9b::7f00:1", False, True),
        ("2002:7f00:1::", False, True),
        # where clouds keep their keys, and what is no server's
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("0.0.0.0", False, False),
        ("224.0.0.1", False, False),
    ],
)
def test_addresses_that_a_webhook_may_go_to(address: str, public: bool, private: bool) -> None:
    found = ipaddress.ip_address(address)
    assert (may_be_used(found, private=False), may_be_used(found, private=True)) == (public, private)


def test_a_name_is_judged_by_its_addresses() -> None:
    assert checked_address("localhost", 80, private=True) in ("127.0.0.1", "::1")
    with pytest.raises(
        NoticeError, match=r"localhost is the private address .*: if this is meant, say `private: true`"
    ):
        checked_address("localhost", 80, private=False)
    with pytest.raises(NoticeUndelivered, match=r"the name nowhere\.invalid cannot be looked up"):
        checked_address("nowhere.invalid", 80, private=True)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "EncoderError: no answer to 'selamat pagi'",
            "run 7 (embed) failed with EncoderError: see `saring runs show 7`",
        ),
        ("RunFailed: LlmError: server said: selamat", "run 7 (embed) failed with LlmError: see `saring runs show 7`"),
        ("the process ended without finishing", "run 7 (embed) failed: see `saring runs show 7`"),
        ("KeyError", "run 7 (embed) failed with KeyError: see `saring runs show 7`"),
    ],
)
def test_of_an_error_only_its_type_is_told(error: str, said: str) -> None:
    assert failed_message(7, "embed", RunState.FAILED, error) == said


def test_a_message_is_one_line_without_control_characters() -> None:
    assert one_line("a\n b\x00\x1b[31m c\u2028d", 100) == "a b[31m c d"
    assert one_line("x" * 600, 500) == "x" * 500
