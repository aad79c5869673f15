"""How many requests a server gets at once, found out by trying: more while it keeps its pace, half when it does not.

Additive increase and multiplicative decrease as in TCP (Jacobson 1988, "Congestion avoidance and control"), after a
slow start that doubles; the pace is the median latency of as many replies as there are requests at once, held against the
best so far. No clock of its own: every call brings the time, in seconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from statistics import median

#: the pace is held as long as the latency is at most so many times the best
_TOLERANCE = 2.0
#: latencies below this, in seconds, say nothing of the server: so much passes on the way
_NOISE = 0.05
_START = 4


@dataclass(slots=True)
class Concurrency:
    """The number of requests at once, at most `most`."""

    most: int
    limit: int = 0
    _slow_start: bool = True
    _best: float | None = None
    _window: list[float] = field(default_factory=list)
    _halved_at: float = float("-inf")
    #: no request before this time
    resume_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.limit = self.limit or min(_START, self.most)

    def replied(self, began: float, now: float) -> None:
        """A request that began then was answered now."""
        self._window.append(now - began)
        if len(self._window) < self.limit:
            return
        pace = max(median(self._window), _NOISE)
        self._window.clear()
        self._best = pace if self._best is None else min(self._best, pace)
        if pace <= _TOLERANCE * self._best:
            self.limit = min(self.most, self.limit * 2 if self._slow_start else self.limit + 1)
        else:
            self._slow_start = False
            # what is slow because too many wait is as slow for each of them: a little fewer, and the pace shows
            self.limit = max(1, self.limit - 1)

    def overloaded(self, began: float, now: float, retry_after: float | None = None) -> None:
        """A request that began then was refused for too many, or timed out.

        Of all that were under way at that time only the first halves the number: they tell of one and the same jam.
        """
        if retry_after is not None:
            self.resume_at = max(self.resume_at, now + retry_after)
        self._slow_start = False
        if began < self._halved_at:
            return
        self._halved_at = now
        self._window.clear()
        self.limit = max(1, self.limit // 2)


class State(enum.StrEnum):
    """Of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(slots=True)
class Breaker:
    """Leaves a server alone that fails time after time, and asks now and then with one request whether it is back.

    (Nygard 2007, "Release It!", circuit breaker.)
    """

    #: failures on end that open the circuit
    failures: int = 8
    #: seconds before the first probe; each one in vain doubles it
    wait: float = 2.0
    longest_wait: float = 60.0
    #: probes in vain after which it is given up
    probes: int = 5
    state: State = State.CLOSED
    retry_at: float = float("-inf")
    _on_end: int = 0
    _in_vain: int = 0

    def succeeded(self) -> None:
        """A request was answered, whatever the answer."""
        self.state, self._on_end, self._in_vain = State.CLOSED, 0, 0

    def failed(self, now: float) -> None:
        """A request failed for the server's sake."""
        self._on_end += 1
        if self.state is State.PROBING:
            self._in_vain += 1
        elif self.state is State.OPEN or self._on_end < self.failures:
            return
        self.state = State.OPEN
        self.retry_at = now + min(self.longest_wait, self.wait * 2.0**self._in_vain)

    def may_ask(self, now: float) -> bool:
        """Whether a request may be sent; in an open circuit, when it is time, one may."""
        if self.state is State.OPEN and now >= self.retry_at:
            self.state = State.PROBING
            return True
        return self.state is State.CLOSED

    @property
    def given_up(self) -> bool:
        """It was asked often enough in vain."""
        return self._in_vain >= self.probes
