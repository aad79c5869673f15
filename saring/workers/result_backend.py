"""Where a chord counts its shards: Celery's Redis backend, without the part that waits for results.

Whoever sends a chord is subscribed by Celery to the result of each of its parts. Nobody here asks for one: what came of
a shard stands in the store. Without the subscriptions, sending many shards is one message each, and a broker that goes
away is met by no process that does not talk to it anyway.
"""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend, ResultConsumer


class NobodyWaits(ResultConsumer):
    """Hears of no result."""

    def start(self, initial_task_id: str, **_: Any) -> None:
        """Listen to nothing."""

    def consume_from(self, task_id: str) -> None:
        """Subscribe to nothing."""

    def cancel_for(self, task_id: str) -> None:
        """Nothing was subscribed to."""


class CountingBackend(RedisBackend):
    """Counts the parts of chords."""

    ResultConsumer = NobodyWaits


def backend_url(broker_url: str) -> str:
    """What Celery takes for this backend on a broker."""
    return f"{__name__}:{CountingBackend.__name__}+{broker_url.removeprefix('redis+')}"
