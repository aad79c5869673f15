"""Secrets of others that must be read again, kept encrypted: Fernet (AES-128-CBC with HMAC-SHA256).

The key lies in the home, and the encrypted secrets in the database, so that neither is of use without the other.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken

from pipeline.atomic import make_once
from pipeline.errors import SaringError
from pipeline.settings import Settings

#: the file with the key
KEY_FILE = "volunteers.key"


def seal(settings: Settings, secret: str) -> bytes:
    """Encrypt a secret with the key of this home, which is made at first use."""
    return _fernet(settings).encrypt(secret.encode())


def unseal(settings: Settings, sealed: bytes) -> str:
    """Decrypt a secret.

    Raises:
        SaringError: it was encrypted with another key.
    """
    try:
        return _fernet(settings).decrypt(sealed).decode()
    except InvalidToken as error:
        path = settings.home / KEY_FILE
        raise SaringError(
            f"{path} is not the key that volunteers' tokens were encrypted with: put the right one there from a backup,"
            " or give each volunteer a new token at Volunteers"
        ) from error


def _fernet(settings: Settings) -> Fernet:
    path = settings.home / KEY_FILE
    if not path.exists():
        make_once(path, Fernet.generate_key())
    try:
        return Fernet(path.read_bytes().strip())
    except ValueError as error:
        raise SaringError(f"{path} is not a key: put the right one there from a backup") from error
