"""A small discrete simulation of workers that take shards from one queue, until all are done.

A shard is some computing on its worker, then some work of the database, which has so many processors and serves first
come, first served. Workers die at random; what one had in hand waits for the sweep that finds it, and starts anew.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class World:
    """Settings of the simulation; times in seconds."""

    #: computing of each shard
    computing: Sequence[float]
    #: work of the database, a shard
    database: float
    database_processors: int
    #: mean time until a worker dies, and until another takes its place
    between_deaths: float
    restart: float
    #: between two sweeps, and what one waits before it takes a shard for lost
    sweep: float
    grace: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a simulation."""

    workers: int
    seconds: float
    #: useful work, of all the time that the workers had
    efficiency: float
    deaths: int
    #: computing that was lost and done again
    lost_seconds: float


def simulate(world: World, workers: int, rng: np.random.Generator) -> Outcome:
    """Let so many workers do all shards."""
    waiting = deque(range(len(world.computing)))
    serial = itertools.count()
    events: list[tuple[float, int, str, int, int]] = []
    free = [0.0] * world.database_processors
    dies = [float(rng.exponential(world.between_deaths)) for _ in range(workers)]
    idle: list[int] = []
    finished = deaths = 0
    lost = end = 0.0

    def at(moment: float, what: str, worker: int = -1, shard: int = -1) -> None:
        heapq.heappush(events, (moment, next(serial), what, worker, shard))

    for worker in range(workers):
        at(0.0, "ready", worker)
    while finished < len(world.computing):
        now, _, what, worker, shard = heapq.heappop(events)
        if what == "found":
            waiting.append(shard)
            if idle:
                at(now, "ready", idle.pop())
        elif what == "computed":
            begins = max(now, heapq.heappop(free))
            heapq.heappush(free, begins + world.database)
            at(begins + world.database, "done", worker, shard)
        elif what == "died":
            deaths += 1
            dies[worker] = now + world.restart + float(rng.exponential(world.between_deaths))
            at(now + world.restart, "ready", worker)
            at(math.ceil((now + world.grace) / world.sweep) * world.sweep, "found", shard=shard)
        else:
            if what == "done":
                finished, end = finished + 1, now
            if not waiting:
                idle.append(worker)
                continue
            if dies[worker] <= now:
                # The worker died while it had no shard, which has no effect.
                dies[worker] = now + float(rng.exponential(world.between_deaths))
            shard = waiting.popleft()
            takes = world.computing[shard]
            if dies[worker] < now + takes:
                lost += dies[worker] - now
                at(dies[worker], "died", worker, shard)
            else:
                at(now + takes, "computed", worker, shard)
    useful = float(sum(world.computing)) + world.database * len(world.computing)
    return Outcome(workers, end, useful / (workers * end), deaths, lost)
