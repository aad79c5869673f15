"""Everything of a loaded home is killed, each kind of process once; nothing that was confirmed is lost or doubled.

`benchmarks/chaos.py` does the same for as long as one likes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from saring.services import LabelStudioAccess
from tests.support.chaos import KILLABLE, World, kill_something, load, make_world, supervise
from tests.support.chaos_checks import settle
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)
_SEED = 20260101
#: seconds between two commands of a kind: each costs a process, and seconds of a processor
_PAUSE = (3.0, 8.0)
_LOOK_SECONDS = 0.2


def achieved(world: World) -> int:
    """Count the commands that ended well and the annotations that were confirmed."""
    return world.commands.total() - world.failures.total() + len(world.annotated)


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Look now and then: to ask what runs costs something, and the machine has enough to do."""
    until(condition, what, poll_seconds=_LOOK_SECONDS)


def test_nothing_is_lost_or_doubled_whatever_dies(new_home: Path, label_studio: LabelStudioAccess) -> None:
    # the shared server's fixture has seen to it that Label Studio is installed
    assert label_studio.embedded
    world = make_world(new_home, label_studio=True, seed=_SEED)
    stopped = threading.Event()
    rng = random.Random(_SEED)
    threads = load(world, stopped, label_studio=True, seed=_SEED, pause=_PAUSE)
    threads.append(supervise(world, stopped, label_studio=True))
    try:
        wait("volunteers are at work", lambda: bool(world.annotated))
        for kind in rng.sample(KILLABLE, len(KILLABLE)):
            before = achieved(world)
            wait(f"work is done before {kind} is killed", lambda so_far=before: achieved(world) > so_far)
            wait(f"{kind} is killed", lambda one=kind: kill_something(world, rng, [one]) is not None)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    verdict = settle(world, label_studio=True)
    assert verdict.violations == []
    # and there was something to lose
    assert world.annotated
    assert all(
        verdict.checked[what] for what in verdict.checked if what != "versions of the test set, none with a row lost"
    )
