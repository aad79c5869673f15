"""Passwords, and tokens of which only the hash is stored."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pipeline.errors import UsageError

#: characters of a password: at least, and at most (a longer one costs time only)
LEAST_PASSWORD, MOST_PASSWORD = 10, 500
#: bytes of randomness in a token
_BYTES = 32


def new_token(prefix: str = "") -> str:
    """A token of 256 random bits, which fits into an address."""
    return prefix + secrets.token_urlsafe(_BYTES)


def token_hash(token: str) -> bytes:
    """The form in which a token is stored. Tokens are random, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def hash_password(password: str, *, name: str = "") -> str:
    """The form in which a password is stored: Argon2id with the parameters of RFC 9106, section 4, second choice.

    Raises:
        UsageError: the password is too short, too long, or the name of its account.
    """
    if len(password) < LEAST_PASSWORD:
        raise UsageError(f"the password has {len(password)} characters: choose one of {LEAST_PASSWORD} or more")
    if len(password) > MOST_PASSWORD:
        raise UsageError(f"the password has more than {MOST_PASSWORD} characters: choose a shorter one")
    if password.casefold() == name.casefold() or len(set(password)) == 1:
        raise UsageError("this password is easy to guess: choose another one")
    return _hasher().hash(_storable(password))


def is_password(password: str, stored: str | None) -> bool:
    """Return True if the password is the stored one. An account without a password takes as long as a wrong one."""
    wanted = stored if stored is not None else _nobody()
    try:
        _hasher().verify(wanted, _storable(password[:MOST_PASSWORD]))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)


@cache
def _nobody() -> str:
    return _hasher().hash(new_token())


def _storable(password: str) -> str:
    # half a surrogate pair cannot be encoded
    return password.encode("utf-8", "replace").decode()
