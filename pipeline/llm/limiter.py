"""The limit on requests at once to a server, adapted to what the server can handle.

Additive increase, multiplicative decrease (Chiu & Jain 1989, Computer Networks and ISDN Systems 17): the window grows
while answers take no longer than before, and halves where the server reports too many requests or does not answer in
time. Until it halves for the first time it doubles with each round (slow start; Jacobson 1988, SIGCOMM).

Several failed requests in a row open a circuit breaker (Nygard 2007, Release It!, chapter 5): no request is sent for a
while, then one at a time until one is answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

#: the window stops growing where the usual time of an answer is longer than the least by this factor
_TOLERANCE = 2.0
#: weight of the newest answer in the usual time, and of a slower answer in the least time
_RECENT, _DRIFT = 0.1, 0.0005
#: seconds: the breaker's first pause, doubled with each, and its longest
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
        """Number of requests that may be sent at once."""
        return max(1, int(self._window))

    @property
    def given_up(self) -> bool:
        """True where there were more pauses than allowed."""
        return self._rests > self._patience

    async def slot(self) -> float:
        """Wait until another request may be sent, count it, and return the time of its start."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._start_waiting()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise
        return self._clock()

    def leave(self) -> None:
        """Stop counting a request that has ended, with or without an answer."""
        self._under_way -= 1
        self._start_waiting()

    def _start_waiting(self) -> None:
        """Start as many waiting requests as the window allows, in order; during a pause, after its end."""
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
        self._start_waiting()

    def answered(self, began: float) -> None:
        """Record an answer."""
        self._failures = self._rests = 0
        took = self._clock() - began
        self._usual = took if self._usual is None else self._usual + _RECENT * (took - self._usual)
        if self._least is None or took < self._least:
            self._least = took
        else:
            # The least time grows slowly, because texts may get longer and the load higher.
            self._least += _DRIFT * (took - self._least)
        # The window grows only where at least half of it is used.
        if self._usual <= _TOLERANCE * self._least and 2 * self._under_way >= self.window:
            self._window = min(self._most, self._window + (1.0 if self._slow_start else 1.0 / self._window))

    def overloaded(self, began: float, retry_after: float | None = None) -> None:
        """Record that the server reported too many requests, or did not answer in time.

        Args:
            began: the time when the request was sent: requests that were sent together halve the window once.
            retry_after: seconds that the server asks to wait.
        """
        if began > self._shrunk_at:
            if self.window == 1:
                # The window cannot be less than one, so this counts as a failure.
                self.failed()
            self._window = max(1.0, self._window / 2)
            self._slow_start = False
            self._shrunk_at = self._clock()
        if retry_after is not None:
            self._resume_at = max(self._resume_at, self._clock() + retry_after)

    def failed(self) -> None:
        """Record that the server did not answer, or failed."""
        self._failures += 1
        if self._failures >= self._breaker and self._resume_at <= self._clock():
            self._resume_at = self._clock() + min(_LONGEST_REST, self._rest * 2**self._rests)
            self._rests += 1
            self._window = 1.0
            self._slow_start = True
