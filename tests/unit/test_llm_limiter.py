"""The window of requests: grows, halves, rests and gives up, on a clock of the test's own."""

from __future__ import annotations

import asyncio

from pipeline.llm.limiter import Limiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limiter(clock: Clock, *, start: int = 4, most: int = 64, breaker: int = 3, patience: int = 2) -> Limiter:
    return Limiter(start=start, most=most, breaker=breaker, patience=patience, clock=clock)


async def round_trip(one: Limiter, clock: Clock, seconds: float, *, most: int = 64) -> None:
    """As many requests as the window takes, all answered after some seconds."""
    began = [await one.slot() for _ in range(min(one.window, most))]
    clock.now += seconds
    for moment in began:
        one.answered(moment)
    for _ in began:
        one.leave()


def test_it_grows_while_answers_take_no_longer() -> None:
    async def run() -> None:
        clock = Clock()
        one = limiter(clock)
        await round_trip(one, clock, 1.0)
        assert one.window == 8
        for _ in range(5):
            await round_trip(one, clock, 1.0)
        assert one.window == 64

    asyncio.run(run())


def test_it_stops_growing_when_answers_take_longer() -> None:
    async def run() -> None:
        clock = Clock()
        one = limiter(clock)
        await round_trip(one, clock, 1.0)
        for _ in range(8):
            await round_trip(one, clock, 9.0)
        settled = one.window
        await round_trip(one, clock, 9.0)
        assert one.window == settled < 64

    asyncio.run(run())


def test_one_overload_halves_it_once_however_many_requests_say_so() -> None:
    async def run() -> None:
        clock = Clock()
        one = limiter(clock, start=32)
        began = [await one.slot() for _ in range(32)]
        clock.now += 1
        for moment in began:
            one.overloaded(moment)
        assert one.window == 16

    asyncio.run(run())


def test_nobody_goes_before_the_server_wants_to_be_asked_again() -> None:
    async def run() -> None:
        clock = Clock()
        one = limiter(clock)
        one.overloaded(await one.slot(), 0.05)
        one.leave()
        turn = asyncio.create_task(one.slot())
        await asyncio.sleep(0)
        assert not turn.done()
        clock.now += 0.06
        await turn

    asyncio.run(run())


def test_a_server_that_keeps_failing_rests_and_is_then_given_up() -> None:
    clock = Clock()

    async def run() -> None:
        one = limiter(clock, breaker=3, patience=2)
        for _ in range(3):
            one.failed()
        assert one.window == 1
        assert not one.given_up
        for _ in range(2):
            clock.now += 100
            one.failed()
        assert one.given_up

    asyncio.run(run())


def test_who_stops_waiting_takes_nobodys_place() -> None:
    async def run() -> None:
        clock = Clock()
        one = limiter(clock, start=1, most=1)
        await one.slot()
        first, second = (asyncio.create_task(one.slot()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        one.leave()
        await second
        assert first.cancelled()

    asyncio.run(run())
