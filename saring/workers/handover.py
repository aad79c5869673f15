"""Handing a stage to the workers and following it from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from pipeline.errors import RunCancelled, RunFailed
from pipeline.progress import Progress
from pipeline.runs.book import open_run, reopen_run
from pipeline.runs.stage import Values, queue_of
from pipeline.runs.tasks import send_shards
from pipeline.runs.watch import RunStatus, follow
from pipeline.store.tables.core import RunState
from saring.cli import common
from saring.services import ensure_broker
from saring.workers.app import make_app
from saring.workers.environment import WorkEnvironment

#: seconds in which workers are to say what they take
_ASK_SECONDS = 1.0


def hand_over(ctx: common.Context, stage: str, params: Mapping[str, Any], progress: Progress) -> Values:
    """Have workers carry out a stage, and wait for it; what the run reports.

    Raises:
        RunConflict: the stage is at work on that data already.
        RunFailed: the run ended in an error, or parts of it did.
        RunCancelled: somebody cancelled it.
    """
    run_id = start(ctx, stage, params)
    return wait(ctx, run_id, progress)


def start(ctx: common.Context, stage: str, params: Mapping[str, Any]) -> int:
    """Have workers carry out a stage; the run's id, at once.

    Raises:
        RunConflict: the stage is at work on that data already.
    """
    env = WorkEnvironment(lambda: ctx)
    app = make_app(ensure_broker(ctx.settings), env)
    one = env.stages[stage]
    plan = one.plan(ctx, params)
    run_id, numbers = open_run(ctx.engine, stage, plan)
    send_shards(app, env, run_id, numbers)
    _warn_without_worker(app, queue_of(one, plan.slice))
    return run_id


def resume(ctx: common.Context, run_id: int) -> int:
    """Let a run on workers go on, with what was parked of it; how many shards were sent.

    Raises:
        RunMissing: there is no such run.
        RunConflict: its stage is at work on its slice already.
    """
    env = WorkEnvironment(lambda: ctx)
    app = make_app(ensure_broker(ctx.settings), env)
    numbers = reopen_run(ctx.engine, run_id)
    send_shards(app, env, run_id, numbers)
    return len(numbers)


def wait(ctx: common.Context, run_id: int, progress: Progress) -> Values:
    """Follow a run to its end, with a progress bar; what it reports.

    Raises:
        RunMissing: there is no such run.
        RunFailed: it ended in an error.
        RunCancelled: somebody cancelled it.
    """
    env = WorkEnvironment(lambda: ctx)
    last: RunStatus | None = None
    try:
        for last in follow(ctx.engine, run_id):
            stage = env.stages.get(last.stage)
            progress(last.done, last.total, f"{stage.what if stage else last.stage} (run {run_id}, on workers)")
    except KeyboardInterrupt:
        common.err.print(
            f"run {run_id} goes on without you: `saring runs watch {run_id}` follows it, "
            f"`saring runs cancel {run_id}` ends it"
        )
        raise
    assert last is not None, "a run has a status"
    if last.state is RunState.CANCELLED:
        raise RunCancelled(f"run {run_id} was cancelled: `saring runs resume {run_id}` goes on from there")
    if last.state is RunState.FAILED:
        raise RunFailed(f"run {run_id} failed: {last.error}; `saring runs resume {run_id}` tries again")
    if last.error is not None:
        common.err.print(f"run {run_id}: {last.error}", style="yellow", markup=False, soft_wrap=True)
    # which the warning has told
    return {name: value for name, value in (last.result or {}).items() if name != "parked"}


def _warn_without_worker(app: Celery, queue: str) -> None:
    try:
        taken = app.control.inspect(timeout=_ASK_SECONDS).active_queues() or {}
    except (OperationalError, ConnectionError, RedisError):
        # the broker is away: what was to be sent waits for it in the store
        return
    if not any(one["name"] == queue for queues in taken.values() for one in queues):
        common.err.print(
            f"no worker takes work of the kind {queue!r} at the moment: start one with `saring up`, "
            f"or with `saring worker --queues {queue}`",
            style="yellow",
        )
