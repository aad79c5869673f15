"""Pseudonyms of people: the same person has the same pseudonym in every export of a home.

They are keyed hashes. Without the key, which never leaves the home, nobody can find out the account by trying.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from pipeline.atomic import make_once
from pipeline.errors import SaringError
from pipeline.judgement import RaterRef

KEY_FILE = "pseudonyms.key"
_BYTES = 32


def pseudonym_key(home: Path) -> bytes:
    """The key of a home, made at first use.

    Raises:
        SaringError: the file is damaged.
    """
    path = home / KEY_FILE
    if not path.exists():
        make_once(path, secrets.token_bytes(_BYTES))
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise SaringError(f"{path} is damaged: restore it from a backup, or remove it")
    return key


def pseudonym(key: bytes, rater: RaterRef) -> str:
    """The pseudonym of a rater in exports."""
    identity = f"{rater.kind}\0{rater.name}\0{rater.version}".encode()
    return "person-" + hashlib.blake2b(identity, key=key, digest_size=6).hexdigest()
