"""Browsers that are gone: somebody closed a page while its events were being sent, which is no fault."""

from __future__ import annotations

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, ClientDisconnect)


class QuietlyGone:
    """Ends a request whose browser is gone without an error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        try:
            await self._app(scope, receive, send)
        except _GONE:
            return
        except ExceptionGroup as group:
            # tasks of a stream fail together; what else went wrong is raised
            _, others = group.split(_GONE)
            if others is not None:
                raise others from group
