"""Credentials that Label Studio must send to the ML backend: made once, kept in the home, never shown."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from pipeline.errors import SaringError, UsageError
from pipeline.settings import Settings

#: the header that carries a webhook's secret
WEBHOOK_HEADER = "X-Saring-Webhook-Secret"
#: the user name that belongs to the password
BACKEND_USER = "label-studio"
#: characters of a password that others can reach
LEAST_CHARACTERS = 12
_FILE = "backend.json"


@dataclass(frozen=True, slots=True)
class BackendCredentials:
    """A user name, a password, and the secret that a webhook must send."""

    user: str
    password: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def backend_credentials(settings: Settings) -> BackendCredentials:
    """The credentials of this home: from the settings, else from `backend.json`, which is made at first use.

    Raises:
        SaringError: the file does not hold credentials.
    """
    kept = {}
    if settings.backend_password is None or settings.webhook_secret is None:
        kept = _kept(settings.home / _FILE)
    password = settings.backend_password.get_secret_value() if settings.backend_password else kept["password"]
    webhook = settings.webhook_secret.get_secret_value() if settings.webhook_secret else kept["webhook_secret"]
    return BackendCredentials(BACKEND_USER, password, webhook)


def check_strength(settings: Settings) -> None:
    """Check that the password and the secret that somebody chose are long enough for others to meet.

    Raises:
        UsageError: one is too short; the message names the setting and never its value.
    """
    chosen = {
        "SARING_BACKEND_PASSWORD": settings.backend_password,
        "SARING_WEBHOOK_SECRET": settings.webhook_secret,
    }
    for name, value in chosen.items():
        if value is not None and len(value.get_secret_value()) < LEAST_CHARACTERS:
            raise UsageError(
                f"{name} has {len(value.get_secret_value())} characters, and other machines can reach it: give it "
                f"{LEAST_CHARACTERS} or more, as `openssl rand -hex 16` makes them"
            )


def _kept(path: Path) -> dict[str, str]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        made = {"password": secrets.token_urlsafe(32), "webhook_secret": secrets.token_urlsafe(32)}
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps(made))
        try:
            # This fails where another process was first; its credentials are then used.
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    try:
        content = orjson.loads(path.read_bytes())
        return {"password": str(content["password"]), "webhook_secret": str(content["webhook_secret"])}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SaringError(
            f"{path} is not a credentials file of Saring: remove it, then run `saring sync setup` again"
        ) from error
