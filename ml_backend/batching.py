"""Small requests are answered together, large ones piece by piece, and neither waits long for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import orjson
from sqlalchemy import Engine

from ml_backend.answers import Answer, answer
from ml_backend.config import Limits, Tally
from ml_backend.request import Asked, read_tasks
from ml_backend.serving import Champion, Serving

#: seconds that a piece of a large request waits for small ones, at most
_PATIENCE = 0.05


@dataclass(slots=True)
class _Waiting:
    asked: Asked
    done: asyncio.Future[list[Answer]]


class Batcher:
    """Answers from worker threads: one for small requests, one for large ones."""

    def __init__(self, engine: Engine, champion: Champion, limits: Limits, tally: Tally) -> None:
        self._engine = engine
        self._champion = champion
        self._limits = limits
        self._tally = tally
        self._small = ThreadPoolExecutor(1, thread_name_prefix="saring-small")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="saring-large")
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        #: no small request is waiting
        self._quiet = Event()
        self._quiet.set()

    async def small(self, asked: Asked) -> list[Answer]:
        """Answers to a few tasks, computed together with those of other requests."""
        waiting = _Waiting(asked, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._quiet.clear()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await waiting.done

    async def large(self, decode: Callable[[], Asked]) -> bytes:
        """The answers to many tasks, as the JSON of a list; one such request at a time.

        Args:
            decode: gives the request; called in the thread that answers.
        """
        return await asyncio.get_running_loop().run_in_executor(self._large, lambda: self.pieces(decode()))

    def pieces(self, asked: Asked) -> bytes:
        """The same, in the caller's thread. All from one state of the champion, whatever is promoted meanwhile."""
        serving, chunk = self._champion.serving, self._limits.chunk
        written = []
        for start in range(0, len(asked.tasks), chunk):
            self._quiet.wait(_PATIENCE)
            piece = answer(read_tasks(asked.part(start, start + chunk)), serving, self._store(), self._tally)
            written.append(orjson.dumps(piece)[1:-1])
        return b"[" + b",".join(written) + b"]"

    def close(self) -> None:
        """End the threads once they have answered."""
        self._small.shutdown()
        self._large.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if sum(len(request.asked.tasks) for request in self._waiting) < self._limits.together:
                    await asyncio.sleep(self._limits.gather)
                batch = self._taken()
                serving, engine = self._champion.serving, self._store()
                answers = loop.run_in_executor(self._small, _together, batch, serving, engine, self._tally)
                await asyncio.wait([answers])
                _hand_out(batch, answers)
        finally:
            self._worker = None
            self._quiet.set()

    def _taken(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        count = 0
        while self._waiting and (not batch or count + len(self._waiting[0].asked.tasks) <= self._limits.together):
            count += len(self._waiting[0].asked.tasks)
            batch.append(self._waiting.pop(0))
        return batch

    def _store(self) -> Engine | None:
        return self._engine if self._champion.store_ok else None


def _together(batch: Sequence[_Waiting], serving: Serving, engine: Engine | None, tally: Tally) -> list[Answer]:
    return answer([item for request in batch for item in read_tasks(request.asked)], serving, engine, tally)


def _hand_out(batch: Sequence[_Waiting], answers: asyncio.Future[list[Answer]]) -> None:
    error = answers.exception()
    position = 0
    for request in batch:
        end = position + len(request.asked.tasks)
        # whoever asked may have gone
        if not request.done.done():
            if error is not None:
                request.done.set_exception(error)
            else:
                request.done.set_result(answers.result()[position:end])
        position = end
