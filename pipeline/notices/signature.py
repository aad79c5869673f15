"""Signatures of webhooks: HMAC-SHA256 over time and body, in the form of Stripe's (`t=...,v1=...`).

The time is signed too, so that a receiver can refuse a request that somebody recorded and sends again.
"""

from __future__ import annotations

import hashlib
import hmac
import re

HEADER = "Saring-Signature"
#: seconds that the clocks of sender and receiver may differ, with the way between them
TOLERANCE = 300
_FORM = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


def sign(body: bytes, secret: str, at: int) -> str:
    """The value of the header.

    Args:
        body: of the request, byte by byte as it is sent.
        secret: of the channel.
        at: time, in seconds since 1970.
    """
    return f"t={at},v1={_digest(body, secret, at)}"


def is_signed(body: bytes, header: str, secret: str, *, now: int, tolerance: int = TOLERANCE) -> bool:
    """True if the request is from who knows the secret, and was sent just now; for receivers in Python.

    Args:
        body: of the request, byte by byte as it was received.
        header: value of `Saring-Signature`.
        secret: of the channel.
        now: time, in seconds since 1970.
        tolerance: seconds that the time of the request may differ from `now`.
    """
    parts = _FORM.fullmatch(header)
    if parts is None or abs(now - int(parts[1])) > tolerance:
        return False
    return hmac.compare_digest(_digest(body, secret, int(parts[1])), parts[2])


def _digest(body: bytes, secret: str, at: int) -> str:
    return hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
