"""The file that says where notices go: what it may hold, and what is refused with its line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.notices.config import Command, Email, NoticesConfig, Webhook, notices_config
from pipeline.notices.kinds import Kind
from pipeline.settings import Settings

_SECRET = "0123456789abcdef-secret"
_WHOLE = f"""\
name: makmal
every_hours: 6
disk_low_gb: 20
channels:
  team:
    type: webhook
    url: https://hooks.example.org/T0/B0/xyz
    secret: {_SECRET}
  post:
    type: email
    server: smtp.example.org
    user: saring
    password: hush-hush
    from: saring@example.org
    to: [aisyah@example.org, wei@example.org]
  pager:
    type: command
    run: [/usr/local/bin/page, --quiet]
kinds:
  run-failed: {{to: [team, post], every_hours: 1}}
  queue-empty: {{to: []}}
"""


def read(folder: Path, text: str | bytes, mode: int = 0o600) -> NoticesConfig:
    path = folder / "notices.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return notices_config(Settings(home=folder))


def refusal(folder: Path, text: str | bytes) -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, text)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(str(folder / "notices.yaml"))


def test_the_whole_file(tmp_path: Path) -> None:
    config = read(tmp_path, _WHOLE)
    team, post, pager = config.channels.values()
    assert isinstance(team, Webhook) and isinstance(post, Email) and isinstance(pager, Command)
    assert [channel.place for channel in (team, post, pager)] == [
        "https://hooks.example.org",
        "smtp.example.org:587",
        "/usr/local/bin/page",
    ]
    assert config.channels_of(Kind.RUN_FAILED) == ("team", "post")
    assert config.channels_of(Kind.QUEUE_EMPTY) == ()
    assert config.channels_of(Kind.DRIFT) == ("team", "post", "pager")
    assert config.period(Kind.RUN_FAILED) == timedelta(hours=1)
    assert config.period(Kind.DRIFT) == timedelta(hours=6)


def test_a_home_without_the_file_sends_nothing(tmp_path: Path) -> None:
    config = notices_config(Settings(home=tmp_path))
    assert (config.channels, config.channels_of(Kind.DRIFT)) == ({}, ())
    assert read(tmp_path, "# nothing yet\n") == config


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = repr(read(tmp_path, _WHOLE))
    assert "makmal" in shown
    assert not [secret for secret in (_SECRET, "hush-hush", "T0/B0") if secret in shown]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o644])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(UsageError, match="others may read or change it: run `chmod 600"):
        read(tmp_path, _WHOLE, mode)


@pytest.mark.parametrize(
    ("change", "to", "words"),
    [
        ("type: webhook", "type: slack", ":5: channels.team: `type` must be webhook, email or command"),
        ("https://hooks", "http://hooks", ":5: channels.team: url: use https://, or say `private: true`"),
        ("https://hooks", "ftp://hooks", ":7: channels.team.url: not an address"),
        ("https://hooks", "https://me:hunter2@hooks", ":7: channels.team.url: a name and a password do not belong"),
        (_SECRET, "short", ":8: channels.team.secret: give it 16 characters or more"),
        ("    server:", "    serverr:", ":11: channels.post.serverr: there is no setting 'serverr'"),
        ("    from: saring@example.org\n", "", "channels.post: 'from' is missing"),
        ("    user: saring\n", "", "channels.post: give both `user` and `password`, or neither"),
        ("    user: saring\n", "    user: saring\n    security: none\n", "would send the password where others"),
        ("to: [aisyah@example.org, wei@example.org]", "to: []", ":15: channels.post.to: "),
        ("wei@example.org", '"wei@example.org\\nBcc: all@example.org"', "channels.post.to.1: "),
        ("run: [/usr/local/bin/page, --quiet]", "run: []", "channels.pager.run: "),
        ("run-failed:", "run-faild:", "kinds.run-faild"),
        ("[team, post]", "[team, mail]", "kinds: run-failed: there is no channel 'mail'"),
        ("every_hours: 6", "every_hours: -1", ":2: every_hours: "),
        ("channels:", "channels: [", ":"),
        (_WHOLE, "- one\n- two\n", ":1: expected a mapping with `channels`"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, change: str, to: str, words: str) -> None:
    assert change in _WHOLE
    message = refusal(tmp_path, _WHOLE.replace(change, to, 1))
    assert words in message
    assert not [secret for secret in (_SECRET, "hush-hush", "hunter2", "T0/B0") if secret in message]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert "not UTF-8 text (byte 6)" in refusal(tmp_path, b"name: \xff\xfe")
