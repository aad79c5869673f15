"""Texts that applications ask about, kept where their policy says so.

They wait in memory, within bounds, and are stored by a thread of its own. An answer never waits for it: texts for which
there is no room are not kept, and are counted.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock, Thread

from psycopg import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.config import Tally
from pipeline.errors import SaringError, StoreError, first_line

logger = logging.getLogger(__name__)

#: texts that may wait, and their characters
MOST_TEXTS, MOST_CHARACTERS = 2_000, 8_000_000
#: texts that are stored in one transaction, and their characters
_TOGETHER, _TOGETHER_CHARACTERS = 200, 200_000
#: seconds before a store that was away is tried again, and that texts may still take when the server stops
_AGAIN, _GRACE = 2.0, 5.0
#: name of the count of texts for which there was no room
DROPPED = "dropped"

#: stores texts of an application; gives how many, by what became of them
KeepTexts = Callable[[str, Sequence[str]], Mapping[str, int]]


class Keeper:
    """Stores texts in the background. `start` before use, `stop` after.

    Args:
        keep: stores texts.
        tally: takes what became of texts, and how many.
        most: texts that may wait.
        most_characters: their characters.
    """

    def __init__(
        self, keep: KeepTexts, tally: Tally, *, most: int = MOST_TEXTS, most_characters: int = MOST_CHARACTERS
    ) -> None:
        self._keep, self._tally = keep, tally
        self._most, self._most_characters = most, most_characters
        #: applications with their texts, the oldest first
        self._waiting: deque[tuple[str, str]] = deque()
        self._characters = 0
        self._lock = Lock()
        self._arrived, self._stopped = Event(), Event()
        self._thread = Thread(target=self._work, name="saring-keep-texts", daemon=True)

    def start(self) -> None:
        """Begin to store texts."""
        self._thread.start()

    def stop(self) -> None:
        """Store what waits, as far as that takes some seconds only, and end."""
        self._stopped.set()
        self._arrived.set()
        if self._thread.is_alive():
            self._thread.join(_GRACE)
        with self._lock:
            if self._waiting:
                logger.warning("%d texts of applications were not kept: the server stops", len(self._waiting))

    def offer(self, application: str, texts: Sequence[str]) -> None:
        """Have texts stored, as far as there is room.

        Args:
            application: its name.
            texts: as they came.
        """
        dropped = 0
        with self._lock:
            for text in texts:
                if len(self._waiting) >= self._most or self._characters + len(text) > self._most_characters:
                    dropped += 1
                    continue
                self._waiting.append((application, text))
                self._characters += len(text)
        if dropped:
            self._tally(DROPPED, dropped)
        self._arrived.set()

    def _work(self) -> None:
        while True:
            self._arrived.wait()
            self._arrived.clear()
            while batch := self._taken():
                began = time.monotonic()
                if not self._stored(*batch):
                    self._give_back(*batch)
                    if self._stopped.wait(_AGAIN):
                        return
                # as much time is left to answers as this took
                self._stopped.wait(time.monotonic() - began)
            if self._stopped.is_set():
                return

    def _taken(self) -> tuple[str, list[str]] | None:
        """Texts of one application, the oldest first."""
        with self._lock:
            if not self._waiting:
                return None
            application = self._waiting[0][0]
            texts: list[str] = []
            characters = 0
            while self._waiting and self._waiting[0][0] == application and len(texts) < _TOGETHER:
                size = len(self._waiting[0][1])
                if texts and characters + size > _TOGETHER_CHARACTERS:
                    break
                texts.append(self._waiting.popleft()[1])
                characters += size
            self._characters -= characters
        return application, texts

    def _give_back(self, application: str, texts: Sequence[str]) -> None:
        with self._lock:
            self._waiting.extendleft((application, text) for text in reversed(texts))
            self._characters += sum(map(len, texts))

    def _stored(self, application: str, texts: Sequence[str]) -> bool:
        """Store texts; False: the store is away, and they wait."""
        try:
            counts = self._keep(application, texts)
        except (StoreError, OperationalError) as error:
            logger.warning("texts of applications are kept later: %s", type(error).__name__)
            return False
        except (SaringError, SQLAlchemyError) as error:
            # what fails once would fail each time, and hold up all that wait behind it
            logger.warning("%d texts of applications cannot be kept: %s", len(texts), first_line(error))
            counts = {"failed": len(texts)}
        for outcome, count in counts.items():
            if count:
                self._tally(outcome, count)
        return True
