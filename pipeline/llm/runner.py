"""Runner of many requests at once, in an event loop in a thread of its own; answers are given as they arrive.

The caller writes answers to the store meanwhile, so that the server never waits for a commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
#: a function that sends one request
Ask = Callable[[A], Awaitable[B]]


@dataclass(frozen=True, slots=True)
class _Broken:
    error: BaseException


def answers(
    things: Iterable[A | None], open_: Callable[[], AbstractAsyncContextManager[Ask[A, B]]], *, ahead: int
) -> Iterator[list[B]]:
    """The answers to all requests, in lists of those that arrived since the last list; in no order.

    Requests are taken in the caller's thread, and never more than `ahead` of them have no answer yet.

    Args:
        things: the requests; None: take no more requests before the next answer.
        open_: gives, in the loop, the function that sends a request; that function waits for the limiter.
        ahead: at least the number of requests that may be sent at once.

    Raises:
        Exception: the first error of a request; answers before it are given first.
    """
    arrived: queue.SimpleQueue[B | _Broken] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    waiting: asyncio.Queue[A] = asyncio.Queue()

    async def serve() -> None:
        tasks: set[asyncio.Task[None]] = set()
        async with open_() as ask:

            async def answer(thing: A) -> None:
                try:
                    arrived.put(await ask(thing))
                except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
                    arrived.put(_Broken(error))

            async def feed() -> None:
                while True:
                    task = asyncio.create_task(answer(await waiting.get()))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)

            feeder = asyncio.create_task(feed())
            ready.set()
            await over.wait()
            for task in (feeder, *tasks):
                task.cancel()
            await asyncio.gather(feeder, *tasks, return_exceptions=True)

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
            arrived.put(_Broken(error))
        finally:
            ready.set()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=run, name="saring-llm", daemon=True)
    thread.start()
    try:
        ready.wait()
        yield from _exchange(
            iter(things), arrived, lambda thing: loop.call_soon_threadsafe(waiting.put_nowait, thing), ahead
        )
    finally:
        if thread.is_alive():
            # The thread may end by itself at this moment.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(over.set)
        thread.join()


def _exchange(
    things: Iterator[A | None], arrived: queue.SimpleQueue[B | _Broken], send: Callable[[A], object], ahead: int
) -> Iterator[list[B]]:
    unanswered, more = 0, True
    while True:
        while more and unanswered < ahead:
            try:
                thing = next(things)
            except StopIteration:
                more = False
                break
            if thing is None:
                break
            send(thing)
            unanswered += 1
        if not unanswered:
            if not more:
                return
            # There is no answer to wait for: the caller has to handle an empty list first.
            yield []
            continue
        batch: list[B | _Broken] = [arrived.get()]
        while not arrived.empty():
            batch.append(arrived.get())
        broken = [answer for answer in batch if isinstance(answer, _Broken)]
        replies = [answer for answer in batch if not isinstance(answer, _Broken)]
        unanswered -= len(batch)
        if replies:
            yield replies
        if broken:
            raise broken[0].error
