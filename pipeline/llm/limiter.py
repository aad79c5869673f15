"""How many requests a server is sent at once: as many as it bears, found out by asking.

Additive increase, multiplicative decrease (Chiu & Jain 1989, Computer Networks and ISDN Systems 17): the window grows
while answers take no longer than they did, and halves where the server says that it is too much or does not answer in
time. Until it halves for the first time it doubles with each round (slow start; Jacobson 1988, SIGCOMM).

Requests that fail one after another open a circuit breaker (Nygard 2007, Release It!, chapter 5): the server is left
alone for a while, then asked by one request at a time until one is answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

#: answers that take longer than the usual by this factor say that more at once gains nothing
_TOLERANCE = 2.0
#: weight of the newest answer in the usual time, and of a slower one in the least
_RECENT, _DRIFT = 0.1, 0.0005
#: seconds: the breaker's first rest, doubled with each, and its longest
_FIRST_REST, _LONGEST_REST = 1.0, 60.0


class Limiter:
    """The window of one server, for one event loop."""

    def __init__(
        self,
        *,
        start: int,
        most: int,
        breaker: int,
        patience: int,
        clock: Callable[[], float],
        rest: float = _FIRST_REST,
    ) -> None:
        self._most = most
        self._window = float(min(start, most))
        self._slow_start = True
        self._breaker = breaker
        self._patience = patience
        self._rest = rest
        self._clock = clock
        self._under_way = 0
        self._resume_at = 0.0
        self._shrunk_at = float("-inf")
        self._usual: float | None = None
        self._least: float | None = None
        self._failures = 0
        self._rests = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def window(self) -> int:
        """Requests that may be under way at once."""
        return max(1, int(self._window))

    @property
    def given_up(self) -> bool:
        """Whether the server was left alone so often that it is of no use."""
        return self._rests > self._patience

    async def slot(self) -> float:
        """Wait until another request may be sent, and count it as under way; the moment that it began."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._call_up()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise
        return self._clock()

    def leave(self) -> None:
        """A request is no longer under way, whatever came of it."""
        self._under_way -= 1
        self._call_up()

    def _call_up(self) -> None:
        """Let as many go on as there is room for, in order; later, if the server is to be left alone now."""
        while self._waiting and self._under_way < self.window:
            wait = self._resume_at - self._clock()
            if wait > 0:
                if self._alarm is None:
                    self._alarm = asyncio.get_running_loop().call_later(wait, self._wake)
                return
            turn = self._waiting.popleft()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)

    def _wake(self) -> None:
        self._alarm = None
        self._call_up()

    def answered(self, began: float) -> None:
        """It was answered, and the server is well."""
        self._failures = self._rests = 0
        took = self._clock() - began
        self._usual = took if self._usual is None else self._usual + _RECENT * (took - self._usual)
        if self._least is None or took < self._least:
            self._least = took
        else:
            # what was once quick need not stay so: longer texts, another load
            self._least += _DRIFT * (took - self._least)
        # a window that is not used says nothing of a wider one
        if self._usual <= _TOLERANCE * self._least and 2 * self._under_way >= self.window:
            self._window = min(self._most, self._window + (1.0 if self._slow_start else 1.0 / self._window))

    def overloaded(self, began: float, retry_after: float | None = None) -> None:
        """The server said that it is too much, or did not answer in time.

        Args:
            began: when that request was sent: all that were under way together halve the window once.
            retry_after: seconds that the server asks to be left alone.
        """
        if began > self._shrunk_at:
            if self.window == 1:
                # less than one at a time cannot be
                self.failed()
            self._window = max(1.0, self._window / 2)
            self._slow_start = False
            self._shrunk_at = self._clock()
        if retry_after is not None:
            self._resume_at = max(self._resume_at, self._clock() + retry_after)

    def failed(self) -> None:
        """It was not answered, or the server is broken."""
        self._failures += 1
        if self._failures >= self._breaker and self._resume_at <= self._clock():
            self._resume_at = self._clock() + min(_LONGEST_REST, self._rest * 2**self._rests)
            self._rests += 1
            self._window = 1.0
            self._slow_start = True
