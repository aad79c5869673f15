"""The configuration of notices: `$SARING_HOME/notices.yaml`, which the owner of the home writes.

It holds the secrets of the channels, so nobody else may read it. Its addresses are the owner's own, never those of a
text, a form or a volunteer.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from pipeline.errors import UsageError
from pipeline.notices.kinds import Kind
from pipeline.settings import Settings
from pipeline.yaml_text import read_yaml_file

#: characters of a webhook's secret, at least
LEAST_SECRET = 16
#: the port of each kind of security of a mail server
_PORTS = {"starttls": 587, "tls": 465, "none": 25}

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$", max_length=254)]
Seconds = Annotated[float, Field(gt=0, le=60)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


def _url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("not an address: an address begins with https://")
    if "@" in parts.netloc:
        raise ValueError("a name and a password do not belong into the address: the receiver checks the signature")
    return value


def _long(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < LEAST_SECRET:
        raise ValueError(f"give it {LEAST_SECRET} characters or more, as `openssl rand -hex 32` makes them")
    return value


class Webhook(_Strict):
    """A server that takes a signed JSON object."""

    type: Literal["webhook"]
    #: a secret too: that of a chat program lets anybody write there
    url: Annotated[SecretStr, AfterValidator(_url)]
    #: key of the signature
    secret: Annotated[SecretStr, AfterValidator(_long)]
    #: True: the address may be a private one, of this machine or of the local network, and may begin with http://
    private: bool = False
    timeout_seconds: Seconds = 10

    @model_validator(mode="after")
    def _encrypted(self) -> Webhook:
        if urlsplit(self.url.get_secret_value()).scheme == "http" and not self.private:
            raise ValueError("url: use https://, or say `private: true` if the receiver is in your own network")
        return self

    @property
    def place(self) -> str:
        """The receiver, without what is secret in its address."""
        parts = urlsplit(self.url.get_secret_value())
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


class Email(_Strict):
    """A mail server that takes a message for some people."""

    type: Literal["email"]
    server: Word
    #: None: 587 with `starttls`, 465 with `tls`, 25 with `none`
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Word | None = None
    password: SecretStr | None = None
    sender: Annotated[Address, Field(alias="from")]
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)]
    timeout_seconds: Seconds = 20

    @model_validator(mode="after")
    def _whole(self) -> Email:
        if (self.user is None) != (self.password is None):
            raise ValueError("give both `user` and `password`, or neither")
        if self.password is not None and self.security == "none":
            raise ValueError("security: `none` would send the password where others can read it: use starttls or tls")
        return self

    @property
    def place(self) -> str:
        """The mail server and its port."""
        return f"{self.server}:{self.port or _PORTS[self.security]}"


class Command(_Strict):
    """A program of this machine that takes a JSON object on standard input."""

    type: Literal["command"]
    #: the program and its arguments; no shell reads them
    run: Annotated[tuple[Word, ...], Field(min_length=1)]
    timeout_seconds: Seconds = 30

    @property
    def place(self) -> str:
        """The program; its arguments may hold secrets."""
        return self.run[0]


Channel = Annotated[Webhook | Email | Command, Field(discriminator="type")]


class Rule(_Strict):
    """Channels and period for notices of a kind."""

    #: channels; None: all; empty: it is recorded and not sent
    to: tuple[Name, ...] | None = None
    #: None: as for the other kinds
    every_hours: Annotated[float, Field(ge=0, le=24 * 365)] | None = None


class NoticesConfig(_Strict):
    """Channels, and which kinds go where how often."""

    channels: Mapping[Name, Channel] = Field(default_factory=dict)
    kinds: Mapping[Kind, Rule] = Field(default_factory=dict)
    #: a channel gets at most one notice of a kind and subject in so many hours; 0: every one
    every_hours: Annotated[float, Field(ge=0, le=24 * 365)] = 6
    #: gigabytes (10^9 bytes) of free space below which the disk is low
    disk_low_gb: Annotated[float, Field(ge=0)] = 5
    #: name of this install in its notices; None: the machine's
    name: Word | None = None

    @model_validator(mode="after")
    def _known(self) -> NoticesConfig:
        for kind, rule in self.kinds.items():
            for name in rule.to or ():
                if name not in self.channels:
                    raise ValueError(f"kinds: {kind}: there is no channel {name!r}")
        return self

    def channels_of(self, kind: str) -> Sequence[str]:
        """Names of the channels that notices of a kind go to."""
        rule = self.kinds.get(Kind(kind)) if kind in list(Kind) else None
        return tuple(self.channels) if rule is None or rule.to is None else tuple(dict.fromkeys(rule.to))

    def period(self, kind: str) -> timedelta:
        """Time in which a channel gets at most one notice of a kind and subject."""
        rule = self.kinds.get(Kind(kind)) if kind in list(Kind) else None
        own = rule.every_hours if rule is not None else None
        return timedelta(hours=self.every_hours if own is None else own)


def notices_config(settings: Settings) -> NoticesConfig:
    """The configuration in a home; without the file, notices are recorded and not sent.

    Raises:
        UsageError: the file is not valid, or others can read it; the message gives the line, and never a value.
    """
    path = settings.notices_file
    try:
        if not path.is_file():
            return NoticesConfig()
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(f"{path} holds secrets, and others may read or change it: run `chmod 600 '{path}'`")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    document = read_yaml_file(path)
    if document is None:
        return NoticesConfig()
    if not isinstance(document, dict):
        raise UsageError(f"{path}:1: expected a mapping with `channels`; docs/notices.md has an example")
    try:
        return NoticesConfig.model_validate(document)
    except ValidationError as error:
        raise UsageError(_complaint(path, document, error)) from error


def _complaint(path: Path, document: Any, error: ValidationError) -> str:
    # An unknown name first: it is often a misspelt form of one that is missing.
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    line, known = _place(document, first["loc"])
    where = ".".join(known) if known else ""
    if first["type"] == "extra_forbidden":
        what = f"there is no setting {str(first['loc'][-1])!r}: docs/notices.md lists all settings"
    elif first["type"] == "missing":
        what = f"{str(first['loc'][-1])!r} is missing"
    elif first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        what = "`type` must be webhook, email or command"
    else:
        what = str(first["msg"]).removeprefix("Value error, ")
    return f"{path}:{line}: {where + ': ' if where else ''}{what}"


def _place(document: Any, loc: Sequence[int | str]) -> tuple[int, list[str]]:
    """The line of a part of the document, and the names on the way to it; the model's own names are left out."""
    line, names, node = 1, [], document
    for step in loc:
        places = getattr(node, "lc", None)
        if isinstance(node, dict) and step in node:
            line = places.key(step)[0] + 1 if places is not None else line
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            line = places.item(step)[0] + 1 if places is not None else line
        else:
            continue
        names.append(str(step))
        node = node[step]
    return line, names
