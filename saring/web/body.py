"""A limit on the size of what is sent."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: bytes of a request: a form with a text of 1 MB in each of two fields, all of whose letters take three bytes each
_MOST = 8 << 20


class BoundedBody:
    """Refuses bodies that are too large before they are read whole.

    Args:
        app: the application.
        larger: bytes for paths at which more than elsewhere may be sent.
    """

    def __init__(self, app: ASGIApp, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = max(_MOST, self._larger.get(scope["path"], 0))
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > most:
            answer = PlainTextResponse(f"the request has more than {most} bytes: send less at once\n", 413)
            await answer(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise HTTPException(413, f"the request has more than {most} bytes: send less at once")
            return message

        await self._app(scope, bounded, send)
