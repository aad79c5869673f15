"""Everything of a loaded home is killed, one after the other; nothing that was confirmed is lost, and nothing doubled.

`benchmarks/chaos.py` does the same for as long as one likes.
"""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from saring.services import LabelStudioAccess
from tests.support.chaos import World, kill_something, load, make_world, supervise
from tests.support.chaos_checks import settle
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)
_SEED = 20260101
#: seconds between two commands of a kind: each costs a process, and seconds of a processor
_PAUSE = (3.0, 8.0)
_KINDS = ("PostgreSQL", "Valkey", "Label Studio", "ML backend", "worker", "io-worker")


def achieved(world: World) -> int:
    """Count the commands that ended well and the annotations that were confirmed."""
    return world.commands.total() - world.failures.total() + len(world.annotated)


def test_nothing_is_lost_or_doubled_whatever_dies(new_home: Path, label_studio: LabelStudioAccess) -> None:
    # the shared server's fixture has seen to it that Label Studio is installed
    assert label_studio.embedded
    world = make_world(new_home, label_studio=True, seed=_SEED)
    stopped = threading.Event()
    rng = random.Random(_SEED)
    threads = load(world, stopped, label_studio=True, seed=_SEED, pause=_PAUSE)
    threads.append(supervise(world, stopped, label_studio=True))
    try:
        for kind in rng.sample(_KINDS, len(_KINDS)):
            before = achieved(world)
            until(lambda so_far=before: achieved(world) > so_far, f"work is done before {kind} is killed")
            until(lambda one=kind: kill_something(world, rng, [one]) is not None, f"{kind} is there to be killed")
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
