"""The Celery tasks of runs on workers. Each calls one function and sends the next tasks.

Their messages hold ids only. A repeated message has no effect, as its shard is done or parked. The sweep replaces lost
messages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from celery import Celery, Task, chord, shared_task
from celery.utils.time import get_exponential_backoff_interval
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from pipeline import store
from pipeline.errors import StoreError, StoreUnavailable
from pipeline.runs.shard import finish_run, is_worth_retrying, run_shard
from pipeline.runs.stage import Stage, WorkContext, queue_of
from pipeline.runs.sweep import find_lost
from pipeline.store.session import open_session

log = logging.getLogger(__name__)

R = TypeVar("R")

SHARD, REDUCE, SWEEP = "saring.shard", "saring.reduce", "saring.sweep"
#: the queue of the tasks that end runs and look for lost work
CONTROL_QUEUE = "io"
#: attempts after which a shard is parked; while the store cannot be reached, there are more
_TRIES = 8
#: seconds: the first wait, about doubled with each attempt, drawn at random below that (full jitter)
_FIRST_WAIT, _LONGEST_WAIT = 1, 60
#: the results of a shard are in the store; the chord counts its parts all the same, and nobody waits for results
_NO_RESULT = {"ignore_result": True}
#: seconds between the soft time limit of a shard and the end of its process
_GRACE_SECONDS = 60


class Environment(Protocol):
    """Stages and context of a worker process: `app.conf.saring`."""

    @property
    def stages(self) -> Mapping[str, Stage[Any, Any]]:
        """All stages by name."""

    def context(self) -> WorkContext:
        """Settings, taxonomy and store, made once in a process."""

    def forget(self) -> None:
        """Drop the context, so that the next task makes a new one: the database could not be reached."""


@shared_task(name=SHARD, bind=True, max_retries=None)
def shard_task(self: Task, run_id: int, number: int) -> str:
    """Do one shard of a run."""
    retries = self.request.retries
    return _with_retries(
        self,
        lambda env: str(
            run_shard(env.context(), env.stages, run_id, number, again=retries > 0, last=retries + 1 >= _TRIES)
        ),
    )


@shared_task(name=REDUCE, bind=True, max_retries=None)
def reduce_task(self: Task, run_id: int) -> None:
    """End a run whose shards are all done or parked, or send its next shards."""
    numbers = _with_retries(self, lambda env: finish_run(env.context(), env.stages, run_id))
    if numbers:
        send_shards(self.app, _environment(self.app), run_id, numbers)


@shared_task(name=SWEEP, bind=True, throws=(StoreError, DBAPIError))
def sweep_task(self: Task) -> None:
    """Send lost work again."""
    env = _environment(self.app)
    ctx = env.context()
    resend_after = timedelta(seconds=ctx.settings.resend_seconds)
    lost = find_lost(ctx.engine, now=datetime.now(UTC), resend_after=resend_after)
    for run_id, numbers in lost.shards.items():
        log.warning("run %s: sending %d of its shards again; their messages or workers were lost", run_id, len(numbers))
        for signature in _signatures(self.app, env, run_id, numbers):
            signature.apply_async()
    for run_id in lost.unfinished:
        self.app.signature(REDUCE, args=(run_id,), queue=CONTROL_QUEUE).apply_async()
    for run_id in lost.died:
        log.warning("run %s ended without finishing: run its command again to continue", run_id)


def send_shards(app: Celery, env: Environment, run_id: int, numbers: Sequence[int]) -> None:
    """Send shards to the workers, with a task that ends the run after the last one.

    If the broker cannot be reached or loses a message, the sweep sends them again.
    """
    body = app.signature(REDUCE, args=(run_id,), immutable=True, options={"queue": CONTROL_QUEUE} | _NO_RESULT)
    try:
        if numbers:
            chord(_signatures(app, env, run_id, numbers), body, app=app).apply_async()
        else:
            body.apply_async()
    except (OperationalError, ConnectionError, RedisError) as error:
        log.warning("run %s could not be sent (%s): it is sent when the broker can be reached", run_id, error)


def _signatures(app: Celery, env: Environment, run_id: int, numbers: Sequence[int]) -> list[Any]:
    with open_session(env.context().engine) as session:
        run = session.get(store.Run, run_id)
    stage = env.stages.get(run.stage) if run is not None else None
    options: dict[str, Any] = dict(_NO_RESULT)
    if stage is not None and run is not None:
        options |= {
            "queue": queue_of(stage, run.slice),
            "soft_time_limit": stage.limit_seconds,
            "time_limit": stage.limit_seconds + _GRACE_SECONDS,
        }
    return [app.signature(SHARD, args=(run_id, number), options=options) for number in numbers]


def _environment(app: Celery) -> Environment:
    env: Environment = app.conf.saring
    return env


def _with_retries(task: Task, work: Callable[[Environment], R]) -> R:
    """Do the work; an error that may pass is retried after a while (exponential backoff, full jitter)."""
    env = _environment(task.app)
    try:
        return work(env)
    except Exception as error:
        if isinstance(error, StoreUnavailable):
            env.forget()
        if not is_worth_retrying(error):
            raise
        wait = get_exponential_backoff_interval(_FIRST_WAIT, task.request.retries, _LONGEST_WAIT, full_jitter=True)
        raise task.retry(exc=error, countdown=wait + _FIRST_WAIT) from error
