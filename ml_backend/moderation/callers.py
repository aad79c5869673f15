"""Callers by their API tokens, looked up seldom and believed for some seconds; and the limit on their requests."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor

from ml_backend.moderation.config import Caller, FindCaller, ModerationLimits
from ml_backend.moderation.errors import NoToken, NotReady, TooFast
from pipeline.errors import StoreError

_MINUTE = 60.0


class Callers:
    """Finds the caller of a token, and counts requests in this process (a moving window of a minute).

    While the store is away, the tokens that were known last go on being known: the champion goes on answering.

    Args:
        find: looks a token up in the store.
        limits: how long an answer is believed.
        executor: where the store is asked.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        find: FindCaller,
        limits: ModerationLimits,
        executor: Executor,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._limits, self._executor, self._clock = find, limits, executor, clock
        #: by the hash of a token: who it is, and when that was looked up
        self._known: OrderedDict[bytes, tuple[Caller | None, float]] = OrderedDict()
        self._requests: dict[int, deque[float]] = {}

    async def admit(self, secret: str) -> Caller:
        """The caller of a token, if it may ask now.

        Raises:
            NoToken: the token is of nobody.
            TooFast: its requests of this minute are used up.
            NotReady: the store is away, and the token was not seen before.
        """
        caller = await self._caller(secret)
        if caller is None:
            raise NoToken(
                "the API token is not known or was revoked: make one in the dashboard at /tokens, and send it as "
                "`Authorization: Bearer saring_...`"
            )
        self._count(caller)
        return caller

    async def _caller(self, secret: str) -> Caller | None:
        if not secret:
            return None
        key = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        entry, now = self._known.get(key), self._clock()
        if entry is not None and now - entry[1] < self._limits.fresh:
            return entry[0]
        try:
            caller = await asyncio.get_running_loop().run_in_executor(self._executor, self._find, secret)
        except StoreError as error:
            if entry is not None:
                return entry[0]
            raise NotReady(
                "the database is away, and this token was not seen before: try again", retry_after=5
            ) from error
        self._known[key] = (caller, now)
        self._known.move_to_end(key)
        while len(self._known) > self._limits.remembered:
            self._known.popitem(last=False)
        return caller

    def _count(self, caller: Caller) -> None:
        now = self._clock()
        times = self._requests.setdefault(caller.token_id, deque())
        while times and times[0] <= now - _MINUTE:
            times.popleft()
        if len(times) >= caller.per_minute:
            wait = max(1, math.ceil(times[0] + _MINUTE - now))
            raise TooFast(
                f"this token may ask {caller.per_minute} times a minute: try again in {wait} s", retry_after=wait
            )
        times.append(now)
