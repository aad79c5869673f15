"""The HTTP server with its limits: a client that is slow, silent or wordy holds no connection."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ml_backend.config import Limits

#: seconds that open requests may still take when the server is stopped
_GRACE_SECONDS = 10


def server_config(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """The configuration of uvicorn, which serves the backend everywhere."""
    # The command has its own logging. A line for each request would show who looked at which task.
    return uvicorn.Config(
        app,
        # uvicorn calls it as it would the class
        http=partial(BoundedProtocol, limits=limits),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.idle,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


class _TooLong(Exception):
    """The head of a request has more bytes than it may."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's connection, with a limit on the bytes of a head and on the seconds until it has arrived.

    uvicorn alone waits for ever: for the first byte of a connection, for the rest of a head, and for the rest of a
    body that was answered already (401, 413).
    """

    def __init__(self, *arguments: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        #: between the first byte of a request and the end of its head
        self._in_head = False
        #: between the first byte of a request and its last
        self._in_message = False
        #: bytes received since the head began, of which `_chunk` came last, and bytes of the head's fields
        self._raw = self._chunk = self._fields = 0
        #: no request was under way when `_chunk` came
        self._fresh = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._fresh, self._chunk = not self._in_message, len(data)
        if self._fresh and self._deadline is None:
            # also for what comes before a request and is none, such as empty lines
            self._expect(self._limits.head_seconds)
        self._raw += len(data)
        super().data_received(data)
        if self._in_head and self._raw > self._limits.head and not self.transport.is_closing():
            self._answer(431, self._too_long)

    def on_message_begin(self) -> None:
        self._in_head = self._in_message = True
        self._fields = 0
        # of a chunk that ends another request, the share of this one is not known
        self._raw = self._chunk if self._fresh else 0
        self._fresh = False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # fields after the body come here too
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._expect(None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        if self.cycle is not None and self.cycle.response_complete:
            self._expect(self._limits.idle)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_message and not self._in_head and self.cycle.response_complete:
            # nobody reads the rest of this body
            self._expect(self._limits.idle)

    def send_400_response(self, msg: str) -> None:
        if self._fields > self._limits.head:
            self._answer(431, self._too_long)
        else:
            super().send_400_response(msg)

    @property
    def _too_long(self) -> str:
        return f"the head of the request has more than {self._limits.head} bytes\n"

    def _count(self, size: int) -> None:
        self._fields += size
        if self._fields > self._limits.head:
            # the parser stops, and has `send_400_response` called
            raise _TooLong

    def _expect(self, seconds: float | None) -> None:
        """Close the connection after so many seconds, unless something is expected before; None: no more."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._answer(408, "the head of the request did not arrive in time\n")
        else:
            self.transport.close()

    def _answer(self, status: int, words: str) -> None:
        body = words.encode("ascii")
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
