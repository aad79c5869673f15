"""A network that is cut in the middle of a run, and healed: what comes of the run, and of the host that was cut off."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.vectors.embed import EmbedStage
from tests.support.hosts import Cluster, Net


@dataclass(frozen=True, slots=True)
class Partitioned:
    """Result of a cut."""

    #: seconds that the network was cut
    cut_seconds: float
    #: seconds from the cut to the end of the run
    ended_seconds: float
    #: seconds from healing to the next shard of the host that was cut off
    back_seconds: float
    #: shards of the first run, and how many of them were sent again
    shards: int
    resent: int
    #: violations; empty if there are none
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
    with world.held_up_run(stage) as first:
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

    with world.held_up_run(stage) as second:
        world.until(lambda: world.takers(second) == {"a", "b"}, "both hosts take work again")
        back_at = time.monotonic()
    world.until(lambda: world.is_over(second), "the second run ends")
    violations += [f"second run: {violation}" for violation in world.violations(second)]
    return Partitioned(
        cut_seconds=healed_at - cut_at,
        ended_seconds=ended[0] - cut_at,
        back_seconds=back_at - healed_at,
        shards=len(shards),
        resent=sum(shard.sends - 1 for shard in shards),
        violations=violations,
    )
