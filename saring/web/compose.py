"""One server for several applications: what machines ask, and the pages that people open."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

#: first parts of the paths of the ML backend, which has passwords of its own
BACKEND_PATHS = ("health", "setup", "predict", "versions", "webhook", "metrics")
#: first parts of the paths of the moderation endpoint, which takes API tokens
MODERATION_PATHS = ("v1", "v1alpha1", "$discovery")


class Composed:
    """Hands each request to the application that it is for. All begin and end with the server.

    Args:
        by_path: applications by the first part of the paths that they serve; they begin in this order.
        others: serves all other paths.
    """

    def __init__(self, by_path: Mapping[tuple[str, ...], Starlette], others: Starlette) -> None:
        self._by_path = {path: app for paths, app in by_path.items() for path in paths}
        self._apps = [*by_path.values(), others]
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a request, or begin and end all applications."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        first = str(scope.get("path", "")).split("/", 2)[1:2]
        await self._by_path.get(first[0] if first else "", self._others)(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                for app in self._apps:
                    await stack.enter_async_context(app.router.lifespan_context(app))
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
