"""Access: everybody may ask for the health, and those who know the password for the rest. Guessers are slowed down."""

from __future__ import annotations

import base64
import binascii
import hmac

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ml_backend.tries import Tries
from pipeline.backend_credentials import METRICS_USER, WEBHOOK_HEADER, BackendCredentials

#: what is open to everybody
_OPEN = frozenset({"/health"})
#: where the secret of a webhook will do instead: Label Studio sends no password with events
_WEBHOOK = "/webhook"
#: what has a password of its own, which opens nothing else
_METRICS = "/metrics"
#: key of a request's scope; True: it came with Label Studio's password, not only with the secret of a webhook
BY_PASSWORD = "saring.by_password"  # noqa: S105 - no secret


class Gate:
    """Lets nobody pass to any path without credentials, but for the open ones; paths to come are closed too.

    Args:
        app: what is behind it.
        credentials: what opens it.
        tries: counts wrong passwords by address.
    """

    def __init__(self, app: ASGIApp, credentials: BackendCredentials, tries: Tries | None = None) -> None:
        self._app = app
        self._tries = Tries() if tries is None else tries
        self._label_studio = credentials.user.encode(), credentials.password.encode()
        self._metrics = METRICS_USER.encode(), credentials.metrics_password.encode()
        self._secret = credentials.webhook_secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401, or 429 after too many wrong passwords."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"].rstrip("/"), Headers(scope=scope)
        address = (scope.get("client") or ("",))[0]
        if path in _OPEN:
            await self._app(scope, receive, send)
        elif wait := self._tries.wait(address):
            await _refusal(429, "too many wrong passwords from this address", {"Retry-After": str(wait)})(
                scope, receive, send
            )
        elif self._has_password(path, headers):
            await self._app({**scope, BY_PASSWORD: True}, receive, send)
        elif self._has_secret(path, headers):
            await self._app(scope, receive, send)
        else:
            # who sends nothing tries nothing: a browser's first request has no credentials
            if headers.get("authorization") or headers.get(WEBHOOK_HEADER):
                self._tries.failed(address)
            await _refusal(
                401,
                "credentials are needed: `saring sync setup` gives them to Label Studio",
                {"WWW-Authenticate": 'Basic realm="saring", charset="UTF-8"'},
            )(scope, receive, send)

    def _has_secret(self, path: str, headers: Headers) -> bool:
        given = headers.get(WEBHOOK_HEADER, "").encode()
        return path == _WEBHOOK and bool(self._secret) and hmac.compare_digest(given, self._secret)

    def _has_password(self, path: str, headers: Headers) -> bool:
        wanted_user, wanted = self._metrics if path == _METRICS else self._label_studio
        user, password = _basic(headers.get("authorization", ""))
        # both are compared in full, so that the time taken says nothing of either
        right_user = hmac.compare_digest(user, wanted_user)
        right_password = hmac.compare_digest(password, wanted)
        return bool(wanted) and right_user and right_password


def _refusal(status: int, words: str, headers: dict[str, str]) -> PlainTextResponse:
    return PlainTextResponse(f"{words}\n", status_code=status, headers=headers)


def _basic(header: str) -> tuple[bytes, bytes]:
    """Name and password of a Basic header; empty ones if it is not one."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, password
