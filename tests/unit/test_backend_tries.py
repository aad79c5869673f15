"""How many wrong passwords an address may send."""

from __future__ import annotations

from dataclasses import dataclass

from ml_backend.tries import Tries


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_is_let_in_again_step_by_step() -> None:
    clock = Clock()
    tries = Tries(allowed=10, seconds=60, clock=clock)
    for _ in range(10):
        assert tries.wait("192.0.2.1") == 0
        tries.failed("192.0.2.1")
    assert tries.wait("192.0.2.1") == 6
    clock.now += 6
    assert tries.wait("192.0.2.1") == 0
    tries.failed("192.0.2.1")
    assert tries.wait("192.0.2.1") == 6
    clock.now += 600
    assert tries.wait("192.0.2.1") == 0


def test_addresses_are_counted_apart_and_networks_of_one_host_together() -> None:
    tries = Tries(allowed=1, clock=Clock())
    tries.failed("192.0.2.1")
    tries.failed("2001:db8::1")
    assert tries.wait("192.0.2.1") > 0
    assert tries.wait("::ffff:192.0.2.1") > 0
    assert tries.wait("192.0.2.2") == 0
    assert tries.wait("2001:db8::ffff:2") > 0
    assert tries.wait("2001:db8:0:1::1") == 0


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    tries = Tries(allowed=1, addresses=100, clock=Clock())
    for i in range(1_000):
        tries.failed(f"10.0.{i // 256}.{i % 256}")
    assert len(tries) == 100
    assert tries.wait("10.0.0.0") == 0
    assert tries.wait(f"10.0.{999 // 256}.{999 % 256}") > 0
