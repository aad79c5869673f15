"""Connections to the database where many wait: those who hold a lock, or wait for one, keep nobody else out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, text

from pipeline.errors import StoreUnavailable
from pipeline.store.locks import lock_key, waited_for

#: more than a pool has connections
_MANY = 20


def test_many_who_hold_and_wait_for_locks_leave_the_pool_to_others(module_engine: Engine) -> None:
    done: list[int] = []
    over = threading.Event()

    def wait_too(number: int) -> None:
        with waited_for(module_engine, lock_key("test", str(number % 5))):
            assert over.is_set(), "nobody gets a lock that is held"
            done.append(number)

    with ThreadPoolExecutor(_MANY) as others, ExitStack() as locks:
        for number in range(_MANY):
            locks.enter_context(waited_for(module_engine, lock_key("test", str(number))))
        for number in range(_MANY):
            others.submit(wait_too, number)
        for _ in range(3):
            with module_engine.connect() as connection:
                assert connection.execute(text("SELECT 1")).scalar_one() == 1
        over.set()
    assert sorted(done) == list(range(_MANY))


def test_where_all_connections_stay_in_use_the_store_is_unavailable(
    module_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_engine.pool, "_timeout", 0.1)
    with ExitStack() as used, pytest.raises(StoreUnavailable, match="stay in use"):
        for _ in range(_MANY):
            used.enter_context(module_engine.connect())
    with module_engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
