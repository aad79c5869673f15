"""Credentials of the ML backend, each for one purpose: made once, kept in the home, never shown.

Volunteers can read the secret of a webhook in Label Studio, and Label Studio sends the password wherever somebody
points the address of the ML backend. So neither opens anything but what Label Studio itself needs.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from pipeline.atomic import make_once, write_file
from pipeline.errors import SaringError, UsageError
from pipeline.settings import Settings

#: the header that carries a webhook's secret
WEBHOOK_HEADER = "X-Saring-Webhook-Secret"
#: the user names that belong to the passwords: Label Studio's, and whoever reads the metrics
BACKEND_USER, METRICS_USER = "label-studio", "metrics"
#: characters of a password that others can reach
LEAST_CHARACTERS = 12
_FILE = "backend.json"


@dataclass(frozen=True, slots=True)
class BackendCredentials:
    """The credentials: of Label Studio's requests, of its webhooks, and of whoever reads the metrics."""

    user: str
    password: str = field(repr=False)
    #: a webhook must send it; it opens nothing but the events of one
    webhook_secret: str = field(repr=False)
    #: opens the metrics and nothing else; empty: they are closed
    metrics_password: str = field(repr=False, default="")


def backend_credentials(settings: Settings) -> BackendCredentials:
    """The credentials of this home: from the settings, else from `backend.json`, which is made at first use.

    Raises:
        SaringError: the file does not hold credentials.
    """
    given = {
        "password": settings.backend_password,
        "webhook_secret": settings.webhook_secret,
        "metrics_password": settings.metrics_password,
    }
    kept = _kept(settings.home / _FILE) if None in given.values() else {}
    used = {name: value.get_secret_value() if value is not None else kept[name] for name, value in given.items()}
    return BackendCredentials(BACKEND_USER, **used)


def check_strength(settings: Settings) -> None:
    """Check that the password and the secret that somebody chose are long enough for others to meet.

    Raises:
        UsageError: one is too short; the message names the setting and never its value.
    """
    chosen = {
        "SARING_BACKEND_PASSWORD": settings.backend_password,
        "SARING_WEBHOOK_SECRET": settings.webhook_secret,
        "SARING_METRICS_PASSWORD": settings.metrics_password,
    }
    for name, value in chosen.items():
        if value is not None and len(value.get_secret_value()) < LEAST_CHARACTERS:
            raise UsageError(
                f"{name} has {len(value.get_secret_value())} characters, and other machines can reach it: give it "
                f"{LEAST_CHARACTERS} or more, as `openssl rand -hex 16` makes them"
            )


def _kept(path: Path) -> dict[str, str]:
    if not path.exists():
        made = {name: secrets.token_urlsafe(32) for name in ("password", "webhook_secret", "metrics_password")}
        make_once(path, orjson.dumps(made))
    try:
        content = orjson.loads(path.read_bytes())
        if "metrics_password" not in content:
            # a file from before there was one
            content["metrics_password"] = secrets.token_urlsafe(32)
            write_file(path, orjson.dumps(content))
        return {name: str(content[name]) for name in ("password", "webhook_secret", "metrics_password")}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SaringError(
            f"{path} is not a credentials file of Saring: remove it, then run `saring sync setup` again"
        ) from error
