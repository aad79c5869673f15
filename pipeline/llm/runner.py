"""Many requests at once, in an event loop of its own thread; answers come out as they arrive.

Whoever consumes them writes to the store meanwhile, so that the server never waits for a commit.
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
#: asks one thing
Ask = Callable[[A], Awaitable[B]]


@dataclass(frozen=True, slots=True)
class _Broken:
    error: BaseException


def answers(
    things: Iterable[A | None], open_: Callable[[], AbstractAsyncContextManager[Ask[A, B]]], *, ahead: int
) -> Iterator[list[B]]:
    """What each thing was answered, in lists of all that came since the last; in no order.

    The things are taken in the caller's thread, and never more than `ahead` of them are unanswered.

    Args:
        things: what to ask; None: nothing more before something is answered.
        open_: gives, in the loop, the function that asks; it waits for its turn itself.
        ahead: at least as many as may be under way at once.

    Raises:
        Exception: whatever the asking raised first; answers that came before are given out.
    """
    come: queue.SimpleQueue[B | _Broken] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    waiting: asyncio.Queue[A] = asyncio.Queue()

    async def serve() -> None:
        tasks: set[asyncio.Task[None]] = set()
        async with open_() as ask:

            async def one(thing: A) -> None:
                try:
                    come.put(await ask(thing))
                except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
                    come.put(_Broken(error))

            async def feed() -> None:
                while True:
                    task = asyncio.create_task(one(await waiting.get()))
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
            come.put(_Broken(error))
        finally:
            ready.set()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=run, name="saring-llm", daemon=True)
    thread.start()
    try:
        ready.wait()
        yield from _exchange(
            iter(things), come, lambda thing: loop.call_soon_threadsafe(waiting.put_nowait, thing), ahead
        )
    finally:
        if thread.is_alive():
            # it may end by itself just now
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(over.set)
        thread.join()


def _exchange(
    things: Iterator[A | None], come: queue.SimpleQueue[B | _Broken], send: Callable[[A], object], ahead: int
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
            # nothing to wait for: whoever gives the things has something to tell first
            yield []
            continue
        got = [come.get()]
        while not come.empty():
            got.append(come.get())
        broken = [one for one in got if isinstance(one, _Broken)]
        found = [one for one in got if not isinstance(one, _Broken)]
        unanswered -= len(got)
        if found:
            yield found
        if broken:
            raise broken[0].error
