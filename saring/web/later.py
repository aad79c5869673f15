"""Acts that may take minutes: begun by a form, waited for a moment, and carried out in a thread of their own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from typing import TypeVar

from pipeline.errors import SaringError

log = logging.getLogger(__name__)

T = TypeVar("T")
#: seconds that a form waits for its act
PATIENCE = 3.0


def begin(name: str, work: Callable[[], T], *, patience: float = PATIENCE) -> T | None:
    """Begin an act that keeps a run record, and wait a moment for it; None: it goes on, and its run tells of it.

    Args:
        name: what it is, for the log.
        work: the act.
        patience: seconds to wait.

    Raises:
        SaringError: the act failed in that time. Later failures are in the run record and in the log.
    """
    future: Future[T] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except SaringError as error:
            log.warning("%s: %s", name, error)
            future.set_exception(error)
        except Exception as error:
            log.exception("%s failed", name)
            future.set_exception(error)

    threading.Thread(target=carry_out, name=name, daemon=True).start()
    try:
        return future.result(timeout=patience)
    except NotDone:
        return None
