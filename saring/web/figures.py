"""Figures that take long: pages show what was computed last, with its age, and have it computed again meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import SimpleQueue
from threading import Lock as ThreadLock
from threading import Thread
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import SaringError, first_line
from pipeline.store.locks import lock_key, try_take
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Figure as Row

if TYPE_CHECKING:
    from saring.home import Home

logger = logging.getLogger(__name__)

#: a figure is computed again at most this many times as seldom as it takes
_SHARE = 20
#: seconds that the end of the process waits for a figure: some take minutes, and nothing is lost with one
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as it was computed last."""

    #: plain JSON values; None: it was never computed
    value: Any
    #: time of the values; None: never
    as_of: datetime | None
    #: it is being computed now
    renewing: bool
    #: why the last computation failed
    error: str | None = None


class Figures:
    """The stored figures of a home, and one thread that computes them.

    Args:
        home: the home with the store.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._asked: SimpleQueue[tuple[str, Callable[[Home], Any]] | None] = SimpleQueue()
        # a daemon: the process ends without it
        self._thread = Thread(target=self._work, name="saring-figures", daemon=True)
        self._thread.start()
        self._closed = False
        self._lock = ThreadLock()
        self._under_way: set[str] = set()

    def get(
        self, name: str, compute: Callable[[Home], Any], max_age: timedelta, *, wait: float = 0.0, renew: bool = False
    ) -> Figure:
        """The figure as it was computed last; it is computed again in the background when it is too old.

        Args:
            name: under which it is stored, with all that it depends on.
            compute: returns plain JSON values from a home. It runs in another thread.
            max_age: age from which it is computed again. A slow figure may grow older: computing takes at most a
                twentieth of the time.
            wait: seconds to wait for a first value.
            renew: compute it again whatever its age.
        """
        figure = self._stored(name)
        stale = renew or figure is None
        if figure is not None and not renew:
            age, seconds = figure[1], figure[2]
            stale = age > max(max_age.total_seconds(), seconds * _SHARE)
        if stale:
            self._begin(name, compute)
        if figure is None and wait:
            deadline = time.monotonic() + wait
            while figure is None and time.monotonic() < deadline:
                time.sleep(0.05)
                figure = self._stored(name)
        with self._lock:
            renewing = name in self._under_way
        if figure is None:
            return Figure(None, None, renewing)
        row = figure[0]
        return Figure(row.value, row.as_of if row.value is not None else None, renewing, row.error)

    def close(self) -> None:
        """Begin no other computation, and wait a few seconds for the one that is under way."""
        self._closed = True
        self._asked.put(None)
        self._thread.join(_PATIENCE)

    def _stored(self, name: str) -> tuple[Row, float, float] | None:
        with open_session(self._home.engine) as session:
            age = func.extract("epoch", func.now() - Row.as_of)
            row = session.execute(select(Row, age).where(Row.name == name)).one_or_none()
        return None if row is None else (row[0], float(row[1]), row[0].seconds)

    def _begin(self, name: str, compute: Callable[[Home], Any]) -> None:
        with self._lock:
            if name in self._under_way or self._closed:
                return
            self._under_way.add(name)
        self._asked.put((name, compute))

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None and not self._closed:
            try:
                self._compute(*asked)
            except Exception:
                # what no computation should raise: nobody waits for the result
                logger.exception("a figure was not computed")

    def _compute(self, name: str, compute: Callable[[Home], Any]) -> None:
        try:
            # one process at a time computes a figure
            with open_session(self._home.engine) as session, session.begin():
                if not try_take(session, lock_key("figure", name)):
                    return
                began = session.execute(select(func.now())).scalar_one()
                clock = time.monotonic()
                value, error = None, None
                try:
                    value = orjson.loads(orjson.dumps(compute(self._home), option=orjson.OPT_SERIALIZE_NUMPY))
                except (SaringError, SQLAlchemyError, ValueError, ArithmeticError) as caught:
                    logger.warning("the figure %s was not computed: %s", name, type(caught).__name__)
                    error = first_line(caught)
                seconds = time.monotonic() - clock
                row = insert(Row).values(name=name, value=value, as_of=began, seconds=seconds, error=error)
                changed = {"as_of": began, "seconds": seconds, "error": error}
                # a failed computation leaves the values of the last good one
                values = changed if error is not None else {**changed, "value": row.excluded.value}
                session.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))
        except (SaringError, SQLAlchemyError) as caught:
            logger.warning("the figure %s was not stored: %s", name, type(caught).__name__)
        finally:
            self._done(name)

    def _done(self, name: str) -> None:
        with self._lock:
            self._under_way.discard(name)
