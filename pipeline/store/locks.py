"""Advisory locks of PostgreSQL: all locks that Saring takes, their keys, and functions to take them.

A key must never change: during an upgrade an old and a new process would otherwise both hold the same lock.
"""

from __future__ import annotations

import enum
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session


class Lock(enum.IntEnum):
    """Locks that exist once in a database."""

    #: changes of the schema
    SCHEMA = 0x5A1216
    #: filling an empty store from a backup
    RESTORE = 0xBAC09
    #: writing new texts
    TEXTS = 0x1A6E57
    #: the vector space in use
    SPACES = 0xE2C0DE
    #: the consensus in force
    CONSENSUS = 0xC0115E5
    #: versions of the frozen test set
    TEST_SET = 0x7E575E7
    #: champions
    REGISTRY = 0xC4A3F
    #: the queue of texts for people
    QUEUE = 0x50EE0E
    #: roles of accounts
    ACCOUNTS = 0xACC0


#: the judgements of one rater: taken together with the rater's id
_RATERS = 0x1ED6E2

#: seconds between two looks for a lock that somebody else has: at first, and at most
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25

_TAKE = text("SELECT pg_advisory_xact_lock(:key)")
_TAKE_SHARED = text("SELECT pg_advisory_xact_lock_shared(:key)")
_TAKE_PAIR = text("SELECT pg_advisory_xact_lock(:space, :number)")
_TRY = text("SELECT pg_try_advisory_xact_lock(:key)")
_TRY_FOR_SESSION = text("SELECT pg_try_advisory_lock(:key)")
_RELEASE = text("SELECT pg_advisory_unlock(:key)")
_HOLDER = text("""
    SELECT 1 FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND ((classid::bigint << 32) | objid::bigint) = :key
""")


def lock_key(stage: str, slice: str) -> int:
    """The key of the lock of a stage on a slice: a signed 64-bit number."""
    digest = hashlib.blake2b(f"{stage}\0{slice}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def take(session: Session | Connection, key: int, *, shared: bool = False) -> None:
    """Wait for a lock, and hold it until the transaction ends.

    Args:
        session: an open transaction.
        key: a `Lock`, or a number from `lock_key`.
        shared: True: hold it together with others who take it shared.
    """
    session.execute(_TAKE_SHARED if shared else _TAKE, {"key": int(key)})


def take_rater(session: Session, rater: int) -> None:
    """Wait for the lock on a rater's judgements, and hold it until the transaction ends."""
    session.execute(_TAKE_PAIR, {"space": _RATERS, "number": rater})


def try_take(session: Session | Connection, key: int) -> bool:
    """Take a lock until the transaction ends; False if another transaction holds it."""
    return bool(session.execute(_TRY, {"key": int(key)}).scalar_one())


def try_take_for_session(connection: Connection, key: int) -> bool:
    """Take a lock until it is released or the connection ends; False if another process holds it."""
    return bool(connection.execute(_TRY_FOR_SESSION, {"key": int(key)}).scalar_one())


def give_back(connection: Connection, key: int) -> None:
    """Release a lock that was taken for the session."""
    connection.execute(_RELEASE, {"key": int(key)})


def is_free(session: Session, key: int) -> bool:
    """True where nobody holds a lock. The lock is looked up and not taken, so that nobody else is refused it."""
    return session.execute(_HOLDER, {"key": int(key)}).first() is None


@contextmanager
def held(engine: Engine, key: int) -> Iterator[Connection | None]:
    """Hold a lock for the length of the block; None if another process has the lock.

    The value is the connection that holds the lock; each of its statements is a transaction. The lock ends with the
    connection.
    """
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if not try_take_for_session(connection, key):
            yield None
            return
        try:
            yield connection
        finally:
            if not connection.invalidated:
                give_back(connection, key)


@contextmanager
def waited_for(engine: Engine, key: int) -> Iterator[None]:
    """Wait for a lock, and hold it for the length of the block, on a connection of its own.

    The pool's connections stay for those who work: whoever waits has none between two looks, and the one that holds the
    lock is taken out of the pool. Else a few who wait for something slow under a lock would keep everybody else out.
    """
    pause = _FIRST_PAUSE
    while True:
        with engine.connect() as connection, connection.begin():
            if try_take(connection, key):
                connection.detach()
                yield
                return
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)


@contextmanager
def tried(engine: Engine, key: int) -> Iterator[bool]:
    """Hold a lock for the length of the block; False if another process holds it."""
    with engine.connect() as connection, connection.begin():
        yield try_take(connection, key)
