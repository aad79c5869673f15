"""Figures about the scheduler and the workers, which only the broker knows. None of them starts anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import redis

from pipeline.settings import Settings
from saring.home import Home
from saring.services.places import Places
from saring.services.valkey import Valkey, client

#: names of the stored figures
SCHEDULE, WORKERS = "runs.schedule", "runs.workers"


def last_sent_times(home: Home) -> dict[str, Any]:
    """The times at which the regular jobs were last sent, and whether a scheduler sends them, as plain values.

    Returns:
        `sending`; `jobs`, the time of each job in ISO 8601; it is None if the broker does not answer.
    """
    url = _broker(home.settings)
    if not _answers(url):
        return {"sending": False, "jobs": None}
    # These modules take a while to load.
    from saring.workers.app import make_app
    from saring.workers.schedule import is_sending, last_sent

    app = make_app(url, settings=home.settings, carries_out=False)
    try:
        sent = last_sent(app)
    finally:
        app.close()
    return {
        "sending": is_sending(home.settings, sent, now=datetime.now(UTC)),
        "jobs": None if sent is None else {name: at.isoformat() if at else None for name, at in sent.items()},
    }


def served(home: Home) -> dict[str, Any]:
    """The queues whose jobs a running worker takes.

    Returns:
        `queues`, their names; None if the broker does not answer.
    """
    if not _answers(_broker(home.settings)):
        return {"queues": None}
    from saring.workers.asking import served_queues

    queues = served_queues(home.settings)
    return {"queues": None if queues is None else sorted(queues)}


def _broker(settings: Settings) -> str:
    given = settings.redis_url
    return given.get_secret_value() if given is not None else Valkey(Places(settings.home)).url()


def _answers(url: str) -> bool:
    try:
        with client(url) as broker:
            return bool(broker.ping())
    except (redis.RedisError, ValueError):
        return False
