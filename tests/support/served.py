"""uvicorn in a thread of the tests: whatever is still connected at the end is disconnected."""

from __future__ import annotations

import asyncio
import socket

import uvicorn


def run_to_the_end(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until `should_exit`. A connection that uvicorn gives up waiting for is closed here.

    uvicorn leaves it open, and Python complains when it collects the socket, in the middle of any later test.
    """

    async def serve() -> None:
        await server.serve([listener])
        for connection in list(server.server_state.connections):
            if (transport := getattr(connection, "transport", None)) is not None:
                transport.abort()
        # an aborted transport closes its socket in the loop's next turn
        await asyncio.sleep(0)

    asyncio.run(serve())
