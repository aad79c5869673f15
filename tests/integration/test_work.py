"""Runs whose work is cut into shards: whatever happens to a worker, each shard is done once, and the run ends."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import InputError, LabelStudioUnavailable, RunCancelled, RunConflict, RunMissing
from pipeline.runs import book
from pipeline.runs.record import stage_run
from pipeline.runs.shard import Outcome, ShardStep, finish_run, run_shard, shard_lock
from pipeline.runs.stage import Next, Part, Plan, RunView, Step
from pipeline.runs.sweep import find_lost
from pipeline.runs.values import Values
from pipeline.runs.watch import follow, status
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.locks import held
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from saring.context import Context

log = logging.getLogger("pipeline.counting")
RESEND_AFTER = timedelta(seconds=60)


@dataclass
class Counting:
    """A stage that leaves a mark in the store for each shard, and does to some what the test says."""

    name: str = "counting"
    report: type[Values] = dict
    together: bool = False
    queue: str = "cpu"
    what: str = "counting"
    in_shards: bool = True
    limit_seconds: int = 60
    #: shards to an error that their work ends in
    errors: dict[int, Exception] = field(default_factory=dict)
    #: shards that follow the first ones
    more: int = 0

    def plan(self, ctx: Any, params: Mapping[str, Any]) -> Plan:
        return Plan("all", [Part(args={"n": n}) for n in range(params["shards"])], params=dict(params))

    def work(self, ctx: Any, run: RunView, part: Part, step: Step) -> Values:
        n = part.args["n"]
        log.warning("number %s has its turn", n)
        if n in self.errors:
            raise self.errors[n]
        with open_session(ctx.engine) as session, session.begin():
            session.add(store.FilterScore(run_id=run.id, label=str(n), text_id=uuid.uuid4(), score=1.0))
            step(session, 0)
        return {"done": 1, "by": {str(n): 1}}

    def reduce(self, ctx: Any, session: Session, run: RunView, counts: Values) -> Values | Next:
        if self.more and not run.prepared:
            return Next([Part(args={"n": 100 + n}) for n in range(self.more)], {"second": True})
        return counts


@pytest.fixture
def ctx(engine: Engine, tmp_path: Any) -> Context:
    made = Context(Settings(home=tmp_path))
    made.__dict__["engine"] = engine
    return made


def begin(ctx: Context, stage: Counting, shards: int) -> tuple[int, list[int]]:
    return book.open_run(ctx.engine, stage.name, stage.plan(ctx, {"shards": shards}))


def marks(engine: Engine) -> list[str]:
    with open_session(engine) as session:
        return sorted(session.scalars(select(store.FilterScore.label)))


def run_of(engine: Engine, run_id: int) -> store.Run:
    with open_session(engine) as session:
        run = session.get(store.Run, run_id)
        assert run is not None
        return run


def shard_of(engine: Engine, run_id: int, number: int) -> store.Shard:
    with open_session(engine) as session:
        shard = session.get(store.Shard, (run_id, number))
        assert shard is not None
        return shard


def take(engine: Engine, run_id: int, number: int) -> book.StartedShard | None:
    """Take a shard in hand and let go of its lock, as a process that dies does."""
    with held(engine, shard_lock(run_id, number)) as mine:
        assert mine is not None
        return book.begin_shard(mine, run_id, number, worker="w:1", again=False)


def age(engine: Engine, run_id: int, by: timedelta) -> None:
    """Make everything about a run so much older."""
    with open_session(engine) as session, session.begin():
        s, r = store.Shard, store.Run
        session.execute(
            update(s).where(s.run_id == run_id).values(sent_at=s.sent_at - by, started_at=s.started_at - by)
        )
        session.execute(update(r).where(r.id == run_id).values(heartbeat_at=r.heartbeat_at - by))


def test_each_shard_is_done_once_and_the_counts_add_up(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, numbers = begin(ctx, stage, 3)
    assert numbers == [0, 1, 2]
    stages = {stage.name: stage}
    # messages come twice, and what puts the shards together comes too early
    for number in (0, 0, 2, 1):
        run_shard(ctx, stages, run_id, number)
        finish_run(ctx, stages, run_id) if number != 1 else None
    assert run_of(engine, run_id).state is RunState.RUNNING
    assert finish_run(ctx, stages, run_id) == []
    done = run_of(engine, run_id)
    assert (done.state, done.result, done.progress_done, done.error) == (
        RunState.DONE,
        {"done": 3, "by": {"0": 1, "1": 1, "2": 1}},
        3,
        None,
    )
    assert run_shard(ctx, stages, run_id, 0) is Outcome.NOTHING
    finish_run(ctx, stages, run_id)
    assert marks(engine) == ["0", "1", "2"]


def test_a_stage_may_have_more_to_do_once_its_first_shards_are_done(ctx: Context, engine: Engine) -> None:
    stage = Counting(more=2)
    stages = {stage.name: stage}
    run_id, numbers = begin(ctx, stage, 1)
    run_shard(ctx, stages, run_id, numbers[0])
    following = finish_run(ctx, stages, run_id)
    assert following == [1, 2]
    for number in following:
        run_shard(ctx, stages, run_id, number)
    finish_run(ctx, stages, run_id)
    assert run_of(engine, run_id).state is RunState.DONE
    assert marks(engine) == ["0", "100", "101"]


def test_what_is_said_at_work_is_kept_with_the_run(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, numbers = begin(ctx, stage, 2)
    log.warning("said by nobody's shard")
    for number in numbers:
        run_shard(ctx, {stage.name: stage}, run_id, number)
    with open_session(engine) as session:
        kept = session.scalars(select(store.RunLog).order_by(store.RunLog.id)).all()
    assert [(one.run_id, one.shard, one.level, one.message) for one in kept] == [
        (run_id, 0, "warning", "number 0 has its turn"),
        (run_id, 1, "warning", "number 1 has its turn"),
    ]


def test_a_run_without_shards_ends(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, _ = begin(ctx, stage, 0)
    finish_run(ctx, {stage.name: stage}, run_id)
    assert run_of(engine, run_id).state is RunState.DONE


def test_a_poison_shard_is_parked_and_the_run_says_so(ctx: Context, engine: Engine) -> None:
    stage = Counting(errors={1: InputError("line 7 of x.jsonl is not JSON: mend it")})
    stages = {stage.name: stage}
    run_id, numbers = begin(ctx, stage, 3)
    outcomes = [run_shard(ctx, stages, run_id, number) for number in numbers]
    assert outcomes == [Outcome.DONE, Outcome.PARKED, Outcome.DONE]
    finish_run(ctx, stages, run_id)
    ended = run_of(engine, run_id)
    assert ended.state is RunState.DONE
    assert ended.error == (
        "1 of 3 shards is parked; shard 1 failed with InputError: line 7 of x.jsonl is not JSON: mend it. "
        f"Fix this, then run `saring runs resume {run_id}`"
    )
    assert ended.result == {"done": 2, "by": {"0": 1, "2": 1}, "parked": 1}
    # mended, only what was parked is done
    stage.errors.clear()
    assert book.reopen_run(engine, run_id) == [1]
    assert run_shard(ctx, stages, run_id, 1) is Outcome.DONE
    finish_run(ctx, stages, run_id)
    ended = run_of(engine, run_id)
    assert (ended.error, ended.result) == (None, {"done": 3, "by": {"0": 1, "1": 1, "2": 1}})
    assert marks(engine) == ["0", "1", "2"]


def test_what_may_go_better_is_tried_again_and_only_then_parked(ctx: Context, engine: Engine) -> None:
    stage = Counting(errors={0: LabelStudioUnavailable()})
    stages = {stage.name: stage}
    run_id, _ = begin(ctx, stage, 1)
    with pytest.raises(LabelStudioUnavailable):
        run_shard(ctx, stages, run_id, 0)
    waiting = shard_of(engine, run_id, 0)
    assert waiting.state is ShardState.RUNNING
    assert waiting.error is not None
    assert waiting.error.startswith("LabelStudioUnavailable")
    assert run_shard(ctx, stages, run_id, 0, again=True, last=True) is Outcome.PARKED


def test_a_shard_that_kills_its_workers_is_parked_in_the_end(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, _ = begin(ctx, stage, 1)
    for _ in range(book.MOST_ATTEMPTS):
        # what is left when the process dies here
        assert take(engine, run_id, 0) is not None
    assert run_shard(ctx, {stage.name: stage}, run_id, 0) is Outcome.PARKED
    parked = shard_of(engine, run_id, 0)
    assert parked.state is ShardState.PARKED
    assert "does it kill its worker?" in (parked.error or "")
    finish_run(ctx, {stage.name: stage}, run_id)
    assert run_of(engine, run_id).state is RunState.DONE


def test_two_workers_never_have_the_same_shard(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, _ = begin(ctx, stage, 1)
    with engine.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(:key)"), {"key": shard_lock(run_id, 0)})
        assert run_shard(ctx, {stage.name: stage}, run_id, 0) is Outcome.ELSEWHERE
    assert marks(engine) == []


def test_a_worker_that_does_not_know_the_stage_parks_it(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, _ = begin(ctx, stage, 1)
    assert run_shard(ctx, {}, run_id, 0) is Outcome.PARKED
    assert "its code is older or newer" in (shard_of(engine, run_id, 0).error or "")


def test_a_cancelled_run_stops_at_its_next_step_and_goes_on_when_resumed(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    stages = {stage.name: stage}
    run_id, _ = begin(ctx, stage, 2)
    run_shard(ctx, stages, run_id, 0)
    begun = take(engine, run_id, 1)
    assert begun is not None
    assert book.cancel_run(engine, run_id) is RunState.CANCELLED
    # the one that was under way
    with pytest.raises(RunCancelled):
        stage.work(ctx, begun.run, begun.part, ShardStep(run_id))
    assert run_shard(ctx, stages, run_id, 1) is Outcome.NOTHING
    assert marks(engine) == ["0"]
    # the same command goes on with it
    again, numbers = begin(ctx, stage, 2)
    assert (again, numbers) == (run_id, [1])
    run_shard(ctx, stages, run_id, 1)
    finish_run(ctx, stages, run_id)
    assert run_of(engine, run_id).state is RunState.DONE
    assert marks(engine) == ["0", "1"]


def test_one_run_of_a_stage_on_a_slice_at_a_time(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, _ = begin(ctx, stage, 1)
    with pytest.raises(RunConflict, match=f"run {run_id}, `counting` of all, is already running on the workers"):
        begin(ctx, stage, 1)
    with pytest.raises(RunConflict, match=f"saring runs watch {run_id}"), stage_run(engine, stage.name, slice="all"):
        pass
    book.cancel_run(engine, run_id)
    with (
        stage_run(engine, stage.name, slice="all"),
        pytest.raises(RunConflict, match="another `counting` of all is already running"),
    ):
        begin(ctx, stage, 1)


def test_a_command_of_its_own_stops_when_it_is_cancelled(engine: Engine) -> None:
    with pytest.raises(RunCancelled), stage_run(engine, "embed", slice="x") as run:
        assert book.cancel_run(engine, run.id) is RunState.RUNNING
        with open_session(engine) as session, session.begin():
            run.save(session)
    assert run_of(engine, run.id).state is RunState.CANCELLED
    with pytest.raises(RunMissing, match="give the command again"):
        book.reopen_run(engine, run.id)
    with pytest.raises(RunMissing, match="there is no run 999"):
        book.cancel_run(engine, 999)


def test_the_sweep_finds_a_shard_whose_worker_died(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, _ = begin(ctx, stage, 2)
    take(engine, run_id, 0)
    take(engine, run_id, 1)
    age(engine, run_id, timedelta(seconds=10))
    with engine.connect() as alive:
        alive.execute(text("SELECT pg_advisory_lock(:key)"), {"key": shard_lock(run_id, 1)})
        lost = find_lost(engine, now=datetime.now(UTC), resend_after=RESEND_AFTER)
    assert lost.shards == {run_id: [0]}
    assert (shard_of(engine, run_id, 0).state, shard_of(engine, run_id, 0).sends) == (ShardState.WAITING, 2)


def test_the_sweep_sends_what_the_broker_lost_and_has_patience(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, _ = begin(ctx, stage, 2)
    assert find_lost(engine, now=datetime.now(UTC), resend_after=RESEND_AFTER).shards == {}
    age(engine, run_id, RESEND_AFTER * 1.5)
    assert find_lost(engine, now=datetime.now(UTC), resend_after=RESEND_AFTER).shards == {run_id: [0, 1]}
    # the second time it waits twice as long
    age(engine, run_id, RESEND_AFTER * 1.5)
    assert find_lost(engine, now=datetime.now(UTC), resend_after=RESEND_AFTER).shards == {}
    age(engine, run_id, RESEND_AFTER)
    assert find_lost(engine, now=datetime.now(UTC), resend_after=RESEND_AFTER).shards == {run_id: [0, 1]}


def test_the_sweep_finds_a_run_that_nobody_put_together(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    run_id, _ = begin(ctx, stage, 1)
    run_shard(ctx, {stage.name: stage}, run_id, 0)
    age(engine, run_id, timedelta(seconds=10))
    lost = find_lost(engine, now=datetime.now(UTC), resend_after=RESEND_AFTER)
    assert (lost.shards, lost.unfinished) == ({}, [run_id])


def test_the_sweep_notices_that_a_process_died(engine: Engine) -> None:
    with open_session(engine) as session, session.begin():
        run = store.Run(stage="embed", slice="x", state=RunState.RUNNING)
        session.add(run)
        session.flush()
        run_id = run.id
    with stage_run(engine, "judge", slice="y") as alive:
        age(engine, run_id, timedelta(minutes=5))
        age(engine, alive.id, timedelta(minutes=5))
        assert find_lost(engine, now=datetime.now(UTC), resend_after=RESEND_AFTER).died == [run_id]
    assert run_of(engine, run_id).state is RunState.FAILED
    assert run_of(engine, alive.id).state is RunState.DONE


def test_a_follower_hears_of_each_step(ctx: Context, engine: Engine) -> None:
    stage = Counting()
    stages = {stage.name: stage}
    run_id, numbers = begin(ctx, stage, 3)
    seen = []
    for one in follow(engine, run_id):
        seen.append(one.done)
        if numbers:
            run_shard(ctx, stages, run_id, numbers.pop(0))
        else:
            finish_run(ctx, stages, run_id)
    assert seen[-1] == 3
    assert sorted(set(seen)) == [0, 1, 2, 3]
    with open_session(engine) as session:
        assert status(session, run_id).shards == {"done": 3}
