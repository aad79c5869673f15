"""A network that is cut in the middle of a run, and healed: what comes of the run, and of the host that was cut off."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks._hosts import Cluster, Net
from benchmarks._namespaces import NotInTime
from pipeline.work.stages import EmbedStage

#: shards that are not done when a run is held up, at least; and runs that may have got further by then
_LEFT, _TRIES = 4, 5


@dataclass(frozen=True, slots=True)
class Partitioned:
    """What came of a cut."""

    #: for how long the network was cut
    cut_seconds: float
    #: from the cut until the run had ended
    ended_seconds: float
    #: from the healing until the host that was cut off took a shard again
    back_seconds: float
    #: shards of the first run, and how many of them were sent again
    shards: int
    resent: int
    #: empty if all is well
    violations: Sequence[str]


def partition(world: Cluster, net: Net, *, shard_texts: int, cut_seconds: float | None = None) -> Partitioned:
    """Cut host `b` off in the middle of a run, heal the network, and see that the run ends and `b` takes work again.

    Args:
        world: hosts that do nothing else.
        net: what `b` is cut off from.
        shard_texts: texts in a shard.
        cut_seconds: for how long; None: until the run has ended.

    Raises:
        NotInTime: the run does not end, or the host does not come back.
    """
    _, b = world.hosts
    stage = EmbedStage(shard_texts=shard_texts)
    with _held_up(world, stage) as first:
        world.until(lambda: world.at_work(first) == {"a", "b"} and world.waiting() >= 2, "each host has a shard")
        world.cut(b, net)
    cut_at = time.monotonic()
    ended: list[float] = []

    def is_over() -> bool:
        if not ended and world.is_over(first):
            ended.append(time.monotonic())
        return bool(ended)

    def was_long_enough() -> bool:
        over = is_over()
        return over if cut_seconds is None else time.monotonic() - cut_at >= cut_seconds

    world.until(was_long_enough, f"the run ends without host b, which cannot reach the {net.word}")
    world.heal(b, net)
    healed_at = time.monotonic()
    world.until(is_over, "the run ends once the network is healed")
    violations = world.violations(first)
    shards = world.shards(first)

    with _held_up(world, stage) as second:
        world.until(lambda: world.takers(second) == {"a", "b"}, "both hosts take work again")
        back_at = time.monotonic()
    world.until(lambda: world.is_over(second), "the second run ends")
    violations += [f"second run: {one}" for one in world.violations(second)]
    return Partitioned(
        cut_seconds=healed_at - cut_at,
        ended_seconds=ended[0] - cut_at,
        back_seconds=back_at - healed_at,
        shards=len(shards),
        resent=sum(one.sends - 1 for one in shards),
        violations=violations,
    )


@contextlib.contextmanager
def _held_up(world: Cluster, stage: EmbedStage) -> Iterator[int]:
    """A new run that gets no further until the block ends, with work left for both hosts; its id."""
    for _ in range(_TRIES):
        world.forget_vectors()
        run = world.start_run(stage)
        with world.held_up(run):
            if len(world.shards(run)) - world.done(run) >= _LEFT:
                yield run
                return
        world.until(lambda ended=run: world.is_over(ended), "a run ends that was too quick to be held up")
    raise NotInTime(f"{_TRIES} runs were over before they could be held up: give them more texts")
