"""The step that a command is at, in words: how much of it is done, and about how long the rest takes.

Nothing here draws or waits, and clocks are passed in: seconds that only grow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

Clock = Callable[[], float]

#: seconds between two lines where the output is no terminal
LINE_SECONDS = 10.0
_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the work, as it was last reported."""

    what: str
    #: time of the first report
    began: float
    #: units that were finished at the first report, by an earlier run or before we looked
    first: int = 0
    finished: int = 0
    total: int | None = None
    #: time of the last report
    at: float = 0.0
    note: str = ""

    @property
    def is_counted(self) -> bool:
        """True where the total says something: one part of one part does not."""
        return self.total is not None and self.total > 1

    @property
    def is_over(self) -> bool:
        """True where all units are finished."""
        return self.total is not None and self.finished >= self.total > 0

    def left(self, now: float) -> float | None:
        """Seconds until the step's end, by its mean pace so far; None: unknown, or the estimate has passed."""
        if not self.is_counted or self.total is None or self.finished <= self.first or self.at <= self.began:
            return None
        pace = (self.finished - self.first) / (self.at - self.began)
        seconds = (self.total - self.finished) / pace - (now - self.at)
        return seconds if seconds > 0 else None

    @property
    def count(self) -> str:
        """The finished units, with the total where it is known; empty where nothing can be counted."""
        if self.is_counted:
            return f"{self.finished:,} of {self.total:,}"
        return f"{self.finished:,}" if self.finished and self.total is None else ""


class Steps:
    """The step of a command at this moment. A step that is finished, or that another one follows, is gone.

    Args:
        clock: the time in seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.current = Step("starting", clock())

    def report(self, finished: int, total: int | None, what: str, note: str = "", /) -> None:
        """Take a report of progress; see `pipeline.progress.Progress`."""
        now, last = self._clock(), self.current
        begins_anew = finished < last.finished or (finished == last.first and total != last.total)
        if what != last.what or begins_anew:
            last = Step(what, now, first=finished)
        step = replace(last, finished=finished, total=total, at=now, note=note)
        self.current = Step("finishing", now) if step.is_over else step


class Lines:
    """Plain lines on a command's progress, for a file or a pipe: the caller asks from time to time, and writes them.

    Two lines lie at least `every` seconds apart. While nothing is counted any more, each wait is twice the last one, so
    that a command that waits for new rows all day does not fill its log.

    Args:
        clock: the time in seconds.
        every: the least number of seconds between two lines.
    """

    def __init__(self, clock: Clock, every: float = LINE_SECONDS) -> None:
        self._clock, self._every = clock, every
        self._steps, self._lock = Steps(clock), Lock()
        self._wait, self._last = every, clock()
        self._said: tuple[str, int] | None = None

    def report(self, finished: int, total: int | None, what: str, note: str = "", /) -> None:
        """Take a report of progress; see `pipeline.progress.Progress`."""
        with self._lock:
            self._steps.report(finished, total, what, note)

    def due(self) -> str | None:
        """The next line, if it is time for one."""
        with self._lock:
            now, step = self._clock(), self._steps.current
            state = (step.what, step.finished)
            if now - self._last < (self._every if state != self._said else self._wait):
                return None
            self._wait = self._wait * 2 if state == self._said else self._every * 2
            self._said, self._last = state, now
        return line(step, now)


def line(step: Step, now: float) -> str:
    """One line on a step, without colours."""
    parts = [f"{step.what}: {step.count}" if step.count else step.what]
    if step.is_counted and step.total is not None:
        parts[0] += f" ({100 * step.finished // step.total} %)"
    left = step.left(now)
    parts.append(f"{duration(now - step.began)} so far" if left is None else f"about {duration(left)} left")
    return ", ".join([*parts, *filter(None, [step.note])])


def duration(seconds: float) -> str:
    """A length of time in one or two units: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < _MINUTE:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / _MINUTE)
    if seconds < _HOUR * 1.5:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h" if hours >= 10 or not rest else f"{hours} h {rest} min"
