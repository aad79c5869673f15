"""Tokens of Label Studio: a legacy token goes out as it is, a personal one is changed for access tokens.

The SDK does this too, but asks for access tokens at the root of the host, whatever path its address has
(tests/e2e/test_sdk_limits.py).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable

import orjson

from pipeline.errors import LabelStudioRefused

#: what tokens are made of: printable, without blanks
_WORD = re.compile(r"[!-~]+")
#: an access token lives 300 s
_LIFE, _RENEW_BEFORE = 300.0, 60.0


class Tokens:
    """The tokens that an account shows to the server.

    Args:
        url: address of the server, for errors.
        key: a personal access token or a legacy token.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key.strip()
        #: whether access tokens are asked for
        self.renewable = _is_jwt(self._key)
        self._access, self._access_until = "", 0.0

    def header(self, renew: Callable[[bytes], bytes]) -> str:
        """The value of the header `Authorization`.

        Args:
            renew: sends a body to the server's place for renewals, and returns the answer's.

        Raises:
            LabelStudioRefused: the token can't be one.
            ValueError: the answer to a renewal cannot be read.
        """
        if not self.renewable:
            # what cannot be sent would be quoted by the error about it
            if not _WORD.fullmatch(self._key):
                raise LabelStudioRefused(
                    f"the token for {self._url} is empty or has characters in it that no token has: "
                    "check LABEL_STUDIO_API_KEY"
                )
            return f"Token {self._key}"
        if time.monotonic() > self._access_until:
            answer = renew(orjson.dumps({"refresh": self._key}))
            try:
                self._access = str(orjson.loads(answer)["access"])
            except (KeyError, TypeError) as error:
                raise ValueError("no access token in it") from error
            self._access_until = time.monotonic() + _LIFE - _RENEW_BEFORE
        return f"Bearer {self._access}"

    def expire(self) -> None:
        """Have the next request ask for a new access token."""
        self._access_until = 0.0


def _is_jwt(key: str) -> bool:
    parts = key.split(".")
    if len(parts) != 3:
        return False
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4))), dict)
    except (binascii.Error, ValueError):
        return False
