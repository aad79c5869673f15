"""Limits on requests of each API token, and of those who try passwords, counted in the broker or in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

logger = logging.getLogger(__name__)

T = TypeVar("T")
#: wrong passwords: of one account from one address, from one address, and of one account from anywhere
_ACCOUNT_HERE = RateLimitItemPerMinute(8, 5, namespace="saring-sign-in")
_ADDRESS = RateLimitItemPerMinute(40, 5, namespace="saring-sign-in")
_ACCOUNT = RateLimitItemPerHour(200, namespace="saring-sign-in")
#: people who ask to be volunteers, from one address
_JOINING = RateLimitItemPerHour(10, namespace="saring-join")
#: seconds until a broker that was away is tried again
_RETRY = 30.0


class Limits:
    """Count requests, and say how long to wait.

    Args:
        broker_url: gives the broker's address; None: counts are kept in this process only.
    """

    def __init__(self, broker_url: Callable[[], str] | None = None) -> None:
        self._broker_url = broker_url
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        self._retry_at = 0.0

    def token(self, token_id: int, per_minute: int) -> float:
        """Count a request of an API token; seconds to wait, 0: it may pass."""
        return self._hit(RateLimitItemPerMinute(per_minute, namespace="saring-token"), str(token_id))

    def sign_in_wait(self, name: str, address: str) -> float:
        """Seconds until a password of this account may be tried from this address; 0: now."""
        return self._ask(lambda limiter: max(_wait(limiter, item, key) for item, key in _sign_in(name, address)))

    def wrong_password(self, name: str, address: str) -> None:
        """Count a wrong password."""
        for item, key in _sign_in(name, address):
            self._hit(item, key)

    def refuse_guessers(self, address: str) -> None:
        """Count a wrong API token as a wrong password of its address."""
        self._hit(_ADDRESS, f"address:{address}")

    def join(self, address: str) -> float:
        """Count somebody who asks to be a volunteer; seconds to wait, 0: they may."""
        return self._hit(_JOINING, address)

    def _hit(self, item: RateLimitItem, key: str) -> float:
        return self._ask(lambda limiter: 0.0 if limiter.hit(item, key) else _wait(limiter, item, key) or 1.0)

    def _ask(self, question: Callable[[MovingWindowRateLimiter], T]) -> T:
        shared = self._limiter()
        if shared is not None:
            try:
                return question(shared)
            except (redis.RedisError, StorageError, OSError) as error:
                logger.warning("the broker does not count requests now (%s); this process does", type(error).__name__)
                self._shared, self._retry_at = None, time.monotonic() + _RETRY
        return question(self._own)

    def _limiter(self) -> MovingWindowRateLimiter | None:
        if self._shared is None and self._broker_url is not None and time.monotonic() >= self._retry_at:
            try:
                self._shared = MovingWindowRateLimiter(_storage(self._broker_url()))
            except Exception as error:  # noqa: BLE001 - any reason: the process then counts by itself
                logger.warning("the broker does not count requests now (%s); this process does", type(error).__name__)
                self._retry_at = time.monotonic() + _RETRY
        return self._shared


def _sign_in(name: str, address: str) -> list[tuple[RateLimitItem, str]]:
    account = name.casefold()[:80]
    return [
        (_ACCOUNT_HERE, f"account:{account}:{address}"),
        (_ADDRESS, f"address:{address}"),
        (_ACCOUNT, f"account:{account}"),
    ]


def _wait(limiter: MovingWindowRateLimiter, item: RateLimitItem, key: str) -> float:
    stats = limiter.get_window_stats(item, key)
    return 0.0 if stats.remaining > 0 else max(1.0, stats.reset_time - time.time())


def _storage(url: str) -> Storage:
    if url.startswith("redis+socket://"):
        url = "redis+unix://" + url.removeprefix("redis+socket://").replace("virtual_host=", "db=")
    storage = storage_from_string(url)
    assert isinstance(storage, Storage)
    return storage
