"""A feed of changes of runs for any number of viewers, from one look at the store a second. Nothing here is HTTP.

A viewer gets the present state of each run that changed, not each step: who is slow, or was away, gets the newest state
only. Each change has a cursor. Whoever comes back with the last one that they saw goes on from there; after a restart
of the server, which has other cursors, they get the state of all runs that the feed knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.exc import DBAPIError

from pipeline.errors import SaringError, first_line
from pipeline.runs.changes import RunLine, still_open

log = logging.getLogger(__name__)

#: reads the runs at work, the known ones and newer ones; see `read_lines`
Read = Callable[[Collection[int], int | None], Sequence[RunLine]]
#: seconds between two looks at the store, and while it cannot be reached
_LOOK_SECONDS, _AWAY_SECONDS = 1.0, 3.0
#: runs that are kept after their end
_KEPT = 500


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """A change for one viewer."""

    #: `run`: a run changed; `away`: the store cannot be reached; `back`: it can again
    kind: Literal["run", "away", "back"]
    #: where to go on after it; None: the event has no place
    cursor: str | None = None
    run: RunLine | None = None


class RunFeed:
    """Changes of runs, read while somebody looks on.

    All methods but `stop` belong to the event loop in which the first viewer came.

    Args:
        read: reads the store, in a thread.
        look_seconds: seconds between two looks.
        away_seconds: the same while the store cannot be reached.
    """

    def __init__(self, read: Read, *, look_seconds: float = _LOOK_SECONDS, away_seconds: float = _AWAY_SECONDS) -> None:
        self._read, self._look_seconds, self._away_seconds = read, look_seconds, away_seconds
        #: cursors of another process mean nothing here
        self._name = secrets.token_hex(4)
        self._version = 0
        #: greatest id that was read; None: nothing was read yet
        self._newest: int | None = None
        self._lines: dict[int, tuple[int, RunLine]] = {}
        self._wanted: dict[int, int] = {}
        self._viewers = 0
        #: `_fresh`: the store was read since the first of the present viewers came
        self._away = self._stopped = self._fresh = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        #: set when anything changed; then another one takes its place
        self._turn: asyncio.Event | None = None

    @property
    def viewers(self) -> int:
        """Number of viewers."""
        return self._viewers

    async def follow(
        self, cursor: str | None = None, *, run: int | None = None, seconds: float | None = None
    ) -> AsyncGenerator[FeedEvent, None]:
        """Give the changes after a cursor, and then each change as it comes, until the feed is stopped.

        Args:
            cursor: the cursor of the last event that was seen; None, or another process's: from the present state on.
            run: only this run; None: all.
            seconds: end after so long, for a viewer who comes back by itself; None: never.
        """
        seen, told_away = self._place(cursor), False
        until = None if seconds is None else asyncio.get_running_loop().time() + seconds
        self._come(run)
        try:
            while not self._stopped and self._task is not None and not self._task.done():
                assert self._turn is not None
                turn = self._turn
                if told_away != self._away:
                    told_away = self._away
                    yield FeedEvent("away" if told_away else "back")
                for version, line in self._after(seen, run) if self._fresh else ():
                    seen = version
                    yield FeedEvent("run", f"{self._name}.{version}", line)
                if turn is self._turn and not self._stopped:
                    try:
                        async with asyncio.timeout_at(until):
                            await turn.wait()
                    except TimeoutError:
                        return
        finally:
            self._leave(run)

    def stop(self) -> None:
        """End the feed of every viewer. It may be called from any thread, and again."""
        self._stopped = True
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._next_turn)

    def _place(self, cursor: str | None) -> int:
        name, _, version = (cursor or "").partition(".")
        return int(version) if name == self._name and version.isascii() and version.isdigit() else 0

    def _after(self, seen: int, run: int | None) -> list[tuple[int, RunLine]]:
        """The runs that changed after a version, in the order of their changes."""
        if run is not None:
            pair = self._lines.get(run)
            return [pair] if pair is not None and pair[0] > seen else []
        return sorted((pair for pair in self._lines.values() if pair[0] > seen), key=lambda pair: pair[0])

    def _come(self, run: int | None) -> None:
        """Count a viewer; the first one has the store read."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # The loop before, if there was one, is closed.
            self._loop, self._turn, self._task = loop, asyncio.Event(), None
        self._viewers += 1
        if run is not None:
            self._wanted[run] = self._wanted.get(run, 0) + 1
        if self._task is None or self._task.done():
            self._fresh = False
            self._task = asyncio.create_task(self._look_on())
            self._task.add_done_callback(lambda _: self._next_turn())

    def _leave(self, run: int | None) -> None:
        """Count a viewer no more; with the last one the reading ends."""
        self._viewers -= 1
        if run is not None:
            self._wanted[run] -= 1
            if not self._wanted[run]:
                del self._wanted[run]
        if not self._viewers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look_on(self) -> None:
        while not self._stopped:
            known = still_open([line for _, line in self._lines.values()]) | set(self._wanted)
            try:
                lines = await asyncio.to_thread(self._read, known, self._newest)
            except (SaringError, DBAPIError) as error:
                log.info("the runs cannot be read: %s", first_line(error))
                self._set_away(True)
                await asyncio.sleep(self._away_seconds)
                continue
            self._set_away(False)
            if self._take(lines) or not self._fresh:
                self._fresh = True
                self._next_turn()
            await asyncio.sleep(self._look_seconds)

    def _take(self, lines: Sequence[RunLine]) -> bool:
        """Take what was read; True if anything changed."""
        before = self._version
        for line in lines:
            known = self._lines.get(line.id)
            if known is None or known[1] != line:
                self._version += 1
                self._lines[line.id] = (self._version, line)
        if lines:
            self._newest = max(self._newest or 0, *(line.id for line in lines))
        elif self._newest is None:
            self._newest = 0
        over = sorted(version for version, line in self._lines.values() if line.is_over)
        if len(over) > _KEPT:
            oldest = over[-_KEPT]
            self._lines = {run: pair for run, pair in self._lines.items() if pair[0] >= oldest or not pair[1].is_over}
        return self._version != before

    def _set_away(self, away: bool) -> None:
        if self._away != away:
            self._away = away
            self._next_turn()

    def _next_turn(self) -> None:
        if self._turn is not None:
            self._turn.set()
        self._turn = asyncio.Event()
