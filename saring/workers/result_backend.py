"""The result backend, where a chord counts its shards: Celery's Redis backend without subscriptions to results.

Celery subscribes the sender of a chord to the result of each of its parts. Saring does not need these results, because
the result of a shard is in the store. Without subscriptions, each shard is sent with a single message, and a broker
that stops disturbs only processes that use it anyway.
"""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend, ResultConsumer


class NoSubscriptions(ResultConsumer):
    """A consumer that receives no results."""

    def start(self, initial_task_id: str, **_: Any) -> None:
        """Do not listen."""

    def consume_from(self, task_id: str) -> None:
        """Do not subscribe."""

    def cancel_for(self, task_id: str) -> None:
        """Do nothing, because there is no subscription."""


class CountingBackend(RedisBackend):
    """A backend that counts the parts of chords."""

    ResultConsumer = NoSubscriptions


def backend_url(broker_url: str) -> str:
    """The address of this backend on a broker, in Celery's form."""
    return f"{__name__}:{CountingBackend.__name__}+{broker_url.removeprefix('redis+')}"
