"""What the ML backend asks of Label Studio before it answers: made up once, kept in the home, never shown."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from pipeline.errors import SaringError
from pipeline.settings import Settings

#: the header in which a webhook brings its secret
WEBHOOK_HEADER = "X-Saring-Webhook-Secret"
#: the name that goes with the password
BACKEND_USER = "label-studio"
_FILE = "backend.json"


@dataclass(frozen=True, slots=True)
class BackendCredentials:
    """A name, a password, and what a webhook must bring."""

    user: str
    password: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def backend_credentials(settings: Settings) -> BackendCredentials:
    """The credentials of this home: from the settings, else from `backend.json`, which is made at first use.

    Raises:
        SaringError: the file is not readable as what it should be.
    """
    kept = {}
    if settings.backend_password is None or settings.webhook_secret is None:
        kept = _kept(settings.home / _FILE)
    password = settings.backend_password.get_secret_value() if settings.backend_password else kept["password"]
    webhook = settings.webhook_secret.get_secret_value() if settings.webhook_secret else kept["webhook_secret"]
    return BackendCredentials(BACKEND_USER, password, webhook)


def _kept(path: Path) -> dict[str, str]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        made = {"password": secrets.token_urlsafe(32), "webhook_secret": secrets.token_urlsafe(32)}
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps(made))
        try:
            # fails where another process was first, whose credentials then count
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    try:
        found = orjson.loads(path.read_bytes())
        return {"password": str(found["password"]), "webhook_secret": str(found["webhook_secret"])}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SaringError(
            f"{path}: not what Saring wrote there: remove it, then run `saring sync setup` again"
        ) from error
