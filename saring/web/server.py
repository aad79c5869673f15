"""The server of the dashboard: it ends streams of events before it waits for open requests."""

from __future__ import annotations

import gc
import socket

import uvicorn
from fastapi import FastAPI


class DashboardServer(uvicorn.Server):
    """uvicorn, which otherwise waits for each stream of events until its patience is at an end.

    Args:
        config: uvicorn's configuration.
        dashboard: the application of the pages.
    """

    def __init__(self, config: uvicorn.Config, dashboard: FastAPI) -> None:
        super().__init__(config)
        self._dashboard = dashboard

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        # Objects that are loaded by now stay. To search them for garbage each time took up to half a second.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all streams, and wait for the other requests."""
        self._dashboard.state.web.runs.stop()
        await super().shutdown(sockets)
