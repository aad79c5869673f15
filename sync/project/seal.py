"""Telling what Saring wrote from what somebody changed by hand: text that carries the hash of itself."""

from __future__ import annotations

import hashlib
import re

_SEAL = re.compile(r"saring-([0-9a-f]{16})")
#: stands where the hash goes while it is taken
PLACE = "saring-" + "0" * 16


def seal(text: str) -> str:
    """Write the hash of `text` into its `PLACE`."""
    assert text.count(PLACE) == 1, "the text has one place for its seal"
    return text.replace(PLACE, f"saring-{_hash(text)}")


def is_sealed(text: str) -> bool:
    """True where the text is as it was when it was sealed, by any version of Saring."""
    match = _SEAL.search(text)
    return match is not None and match[1] == _hash(_SEAL.sub(PLACE, text, count=1))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
