"""A limit on the size of what is sent."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: bytes of a request: a form with a text of 1 MB in each of two fields, all of whose letters take three bytes each
_MOST = 8 << 20


class BoundedBody:
    """Refuses bodies that are too large before they are read whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > _MOST:
            answer = PlainTextResponse(f"the request has more than {_MOST} bytes: send less at once\n", 413)
            await answer(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > _MOST:
                raise HTTPException(413, f"the request has more than {_MOST} bytes: send less at once")
            return message

        await self._app(scope, bounded, send)
