"""Names for people that say nothing of who they are: the same person has the same one in every export of a home.

They are keyed hashes. Without the key, which never leaves the home, nobody can try out accounts until one fits.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from pipeline.errors import SaringError
from pipeline.judgement import RaterRef

KEY_FILE = "pseudonyms.key"
_BYTES = 32


def pseudonym_key(home: Path) -> bytes:
    """The key of a home, made at first use.

    Raises:
        SaringError: the file is not what it should be.
    """
    path = home / KEY_FILE
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        try:
            # fails where another process was first, whose key then counts
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise SaringError(f"{path}: not the key that Saring wrote there: restore it from a backup, or remove it")
    return key


def pseudonym(key: bytes, who: RaterRef) -> str:
    """What a person is called outside, from what they are called here."""
    said = f"{who.kind}\0{who.name}\0{who.version}".encode()
    return "person-" + hashlib.blake2b(said, key=key, digest_size=6).hexdigest()
