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
from tests.support.chaos import KILLABLE, World, kill_something, open_world, supervise
from tests.support.chaos_checks import settle
from tests.support.chaos_load import join_all, load
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(900)
_SEED = 20260101
#: seconds between two commands of a kind: each costs a process, and seconds of a processor
_PAUSE = (3.0, 8.0)
#: seconds between two visits of a phone, an application or a browser
_VISITS = (2.0, 5.0)
_LOOK_SECONDS = 0.2
#: that the commands under way at the last kill may take
_LAST_COMMANDS_SECONDS = 240
#: that a piece of work may take while everything else is at work and dies
_WORK_SECONDS = 240


def achieved(world: World) -> int:
    """Count what was confirmed, without what the backend answers by itself."""
    return sum(count for what, count in world.confirmed().items() if what not in ("verdicts", "pages"))


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Look now and then: to ask what runs costs something, and the machine has enough to do."""
    until(condition, what, poll_seconds=_LOOK_SECONDS, seconds=_WORK_SECONDS)


def test_nothing_is_lost_or_doubled_whatever_dies(new_home: Path, label_studio: LabelStudioAccess) -> None:
    # the shared server's fixture has seen to it that Label Studio is installed
    assert label_studio.embedded
    with open_world(new_home, label_studio=True, seed=_SEED, people=2) as world:
        stopped, retired = threading.Event(), threading.Event()
        rng = random.Random(_SEED)
        threads = load(world, stopped, seed=_SEED, pause=_PAUSE, visits=_VISITS)
        supervisor = supervise(world, retired)
        try:
            wait("volunteers are at work", lambda: bool(world.annotated))
            for kind in rng.sample(KILLABLE, len(KILLABLE)):
                before = achieved(world)
                wait(f"work is done before {kind} is killed", lambda so_far=before: achieved(world) > so_far)
                wait(f"{kind} is killed", lambda one=kind: kill_something(world, rng, [one]) is not None)
            for each in world.confirmed():
                wait(f"{each} are confirmed", lambda what=each: world.confirmed()[what] > 0)
        finally:
            stopped.set()
            unfinished = join_all(threads, seconds=_LAST_COMMANDS_SECONDS)
            retired.set()
            supervisor.join()
        assert not unfinished, f"these commands never ended: {unfinished}\n{world.state()}"
        # among them: that there was something to lose of each kind
        assert settle(world).violations == []
