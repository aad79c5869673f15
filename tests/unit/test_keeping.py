"""Texts of applications that wait to be stored: within bounds, in order, and none is lost while the store is away."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

import pytest

from ml_backend.moderation import keeping
from ml_backend.moderation.keeping import Keeper
from pipeline.errors import InputError, StoreUnavailable
from tests.support.waiting import until


class Store:
    """What is stored, by a store that waits, fails, or is away."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []
        self.errors: list[Exception] = []
        self.open = threading.Event()
        self.counts: Counter[str] = Counter()

    def keep(self, application: str, texts: Sequence[str]) -> dict[str, int]:
        self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.kept += [(application, text) for text in texts]
        return {"stored": len(texts)}

    def tally(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_AGAIN", 0.01)


def test_no_more_than_there_is_room_for_waits_and_the_rest_is_counted() -> None:
    store = Store()
    keeper = Keeper(store.keep, store.tally, most=5, most_characters=100)
    keeper.offer("a", [f"text {i}" for i in range(8)])
    keeper.offer("b", ["x" * 200])
    assert store.counts == {"dropped": 4}
    store.open.set()
    keeper.start()
    until(lambda: store.counts["stored"] == 5, "they are stored")
    # there is room again
    keeper.offer("b", ["y" * 100])
    until(lambda: store.counts["stored"] == 6, "the next one is stored")
    keeper.stop()
    assert store.kept == [*(("a", f"text {i}") for i in range(5)), ("b", "y" * 100)]


def test_texts_wait_for_a_store_that_is_away_and_what_fails_each_time_holds_up_nothing() -> None:
    store = Store()
    store.errors = [StoreUnavailable("away"), StoreUnavailable("away"), InputError("never")]
    keeper = Keeper(store.keep, store.tally)
    keeper.offer("a", ["one"])
    keeper.offer("b", ["two", "three"])
    store.open.set()
    keeper.start()
    until(lambda: store.counts["stored"] == 2, "the others are stored")
    keeper.stop()
    assert store.kept == [("b", "two"), ("b", "three")]
    assert store.counts == {"failed": 1, "stored": 2}


def test_what_waits_is_stored_when_the_server_stops() -> None:
    store = Store()
    keeper = Keeper(store.keep, store.tally)
    keeper.start()
    keeper.offer("a", [f"text {i}" for i in range(500)])
    store.open.set()
    keeper.stop()
    assert len(store.kept) == 500
