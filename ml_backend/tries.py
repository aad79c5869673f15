"""Wrong passwords, counted by the address that they came from."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable


class Tries:
    """Allow each address a number of wrong passwords a minute (a leaky bucket), in bounded memory.

    An address that has none left is refused whatever it sends: else a guesser would learn the right password by its
    answer. Refused requests are not counted, so that it is let in again as soon as the minute allows.

    Args:
        allowed: wrong passwords at once.
        seconds: time in which that many are forgotten again.
        addresses: most addresses that are remembered; beyond it the one whose last try is oldest is forgotten.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        *,
        allowed: int = 10,
        seconds: float = 60.0,
        addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = allowed
        self._per_second = allowed / seconds
        self._addresses = addresses
        self._clock = clock
        #: by address: wrong passwords that are not forgotten yet, and when that was computed
        self._wrong: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._wrong)

    def wait(self, address: str) -> int:
        """Whole seconds until this address may try again; 0: it may now."""
        over = self._level(_counted(address)) - self._allowed + 1
        return max(0, math.ceil(over / self._per_second - 1e-9))

    def failed(self, address: str) -> None:
        """Count a wrong password."""
        key = _counted(address)
        self._wrong[key] = (self._level(key) + 1, self._clock())
        self._wrong.move_to_end(key)
        while len(self._wrong) > self._addresses:
            self._wrong.popitem(last=False)

    def _level(self, key: str) -> float:
        level, at = self._wrong.get(key, (0.0, 0.0))
        return max(0.0, level - (self._clock() - at) * self._per_second)


def _counted(address: str) -> str:
    """The key that stands for an address: IPv6 by its network of 64 bits, since each host has all of one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
