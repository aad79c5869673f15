"""Advisory locks of PostgreSQL: every one that Saring takes, its key, and the ways to take it.

A key must never change: during an upgrade an old and a new process would otherwise both hold "the" lock.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session


class Lock(enum.IntEnum):
    """Locks of which there is one in a database."""

    #: changes of the schema
    SCHEMA = 0x5A1216
    #: filling an empty store from a backup
    RESTORE = 0xBAC09
    #: writing new texts
    TEXTS = 0x1A6E57
    #: the space of vectors that is in use
    SPACES = 0xE2C0DE
    #: the consensus in force
    CONSENSUS = 0xC0115E5
    #: versions of the frozen test set
    TEST_SET = 0x7E575E7
    #: champions
    REGISTRY = 0xC4A3F
    #: the queue of texts for people
    QUEUE = 0x50EE0E


#: the judgements of one rater: taken together with the rater's id
_RATERS = 0x1ED6E2

_TAKE = text("SELECT pg_advisory_xact_lock(:key)")
_TAKE_SHARED = text("SELECT pg_advisory_xact_lock_shared(:key)")
_TAKE_PAIR = text("SELECT pg_advisory_xact_lock(:space, :number)")
_TRY = text("SELECT pg_try_advisory_xact_lock(:key)")
_TRY_FOR_SESSION = text("SELECT pg_try_advisory_lock(:key)")
_GIVE_BACK = text("SELECT pg_advisory_unlock(:key)")
_HOLDER = text("""
    SELECT 1 FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND ((classid::bigint << 32) | objid::bigint) = :key
""")


def lock_key(stage: str, slice: str) -> int:
    """The key of the lock that stands for a stage on a slice: a signed 64-bit number."""
    digest = hashlib.blake2b(f"{stage}\0{slice}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def take(session: Session | Connection, key: int, *, shared: bool = False) -> None:
    """Wait for a lock, and hold it until the transaction ends.

    Args:
        session: an open transaction.
        key: a `Lock`, or one of `lock_key`.
        shared: hold it beside others who share it.
    """
    session.execute(_TAKE_SHARED if shared else _TAKE, {"key": int(key)})


def take_rater(session: Session, rater: int) -> None:
    """Wait for the lock of a rater's judgements, and hold it until the transaction ends."""
    session.execute(_TAKE_PAIR, {"space": _RATERS, "number": rater})


def try_take(session: Session | Connection, key: int) -> bool:
    """Take a lock until the transaction ends, if nobody holds it; False if somebody does."""
    return bool(session.execute(_TRY, {"key": int(key)}).scalar_one())


def try_take_for_session(connection: Connection, key: int) -> bool:
    """Take a lock until it is given back or the connection ends, if nobody holds it; False if somebody does."""
    return bool(connection.execute(_TRY_FOR_SESSION, {"key": int(key)}).scalar_one())


def give_back(connection: Connection, key: int) -> None:
    """Give back a lock that was taken for the session."""
    connection.execute(_GIVE_BACK, {"key": int(key)})


def is_free(session: Session, key: int) -> bool:
    """True where nobody holds a lock. It is looked up, not taken: whoever wants it must not be turned away."""
    return session.execute(_HOLDER, {"key": int(key)}).first() is None


@contextmanager
def held(engine: Engine, key: int) -> Iterator[Connection | None]:
    """The connection that holds a lock, each of its statements a transaction; None if another process has the lock.

    No other process takes the lock meanwhile, and it dies with the connection.
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
    """Wait for a lock, and hold it for the length of the block, beside the work of other connections."""
    with engine.connect() as connection, connection.begin():
        take(connection, key)
        yield


@contextmanager
def tried(engine: Engine, key: int) -> Iterator[bool]:
    """Hold a lock for the length of the block, if nobody holds it; False if somebody does."""
    with engine.connect() as connection, connection.begin():
        yield try_take(connection, key)
