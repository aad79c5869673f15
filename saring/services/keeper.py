"""Starting again what died: every few seconds, each part of a home is looked at, and started if it is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from pipeline.errors import LeftOut, SaringError
from pipeline.settings import Settings
from saring.services import (
    ensure_backend,
    ensure_broker,
    ensure_database,
    ensure_label_studio,
    ensure_worker,
)

log = logging.getLogger(__name__)

#: seconds between two looks, and at most after one that failed
_LOOK_SECONDS, _LONGEST_SECONDS = 2.0, 60.0

Ensure = Callable[[Settings], object]

#: what is kept; the names are those that `saring up --without` knows
PARTS: Mapping[str, Ensure] = {
    "database": ensure_database,
    "broker": ensure_broker,
    "label-studio": ensure_label_studio,
    "backend": ensure_backend,
    "worker": ensure_worker,
}


def keep(settings: Settings, without: frozenset[str], stopped: threading.Event) -> None:
    """Keep all parts but some at work until told to stop. Each is looked after by a thread of its own, since one that
    recovers may take long."""
    threads = [
        threading.Thread(target=_keep_one, args=(name, ensure, settings, stopped), name=f"keep-{name}", daemon=True)
        for name, ensure in PARTS.items()
        if name not in without
    ]
    for thread in threads:
        thread.start()
    stopped.wait()


def _keep_one(name: str, ensure: Ensure, settings: Settings, stopped: threading.Event) -> None:
    pause, reason = _LOOK_SECONDS, ""
    while not stopped.wait(pause):
        try:
            ensure(settings)
        except LeftOut:
            # It was left out after this keeper began.
            reason, pause = "", _LOOK_SECONDS
        except (SaringError, OSError) as error:
            if str(error) != reason:
                log.warning("%s: %s", name, error)
            reason, pause = str(error), min(2 * pause, _LONGEST_SECONDS)
        else:
            reason, pause = "", _LOOK_SECONDS
