"""The Celery tasks that carry out runs on workers. Each is thin: it calls one function, and says what comes next.

Their messages hold ids only. A message that is doubled finds its shard settled; one that is lost is found by the sweep.
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
#: the queue of what only puts together, and looks after the others
CONTROL_QUEUE = "io"
#: a shard is given up after so many tries; a store that is away is waited for
_TRIES = 8
#: seconds: the first wait, about doubled with each try, drawn at random below that (full jitter)
_FIRST_WAIT, _LONGEST_WAIT = 1, 60
#: what comes of a shard stands in the store; the chord counts its parts all the same, and nobody waits for results
_NO_RESULT = {"ignore_result": True}
#: seconds between asking a shard to stop and ending its process
_GRACE_SECONDS = 60


class Environment(Protocol):
    """What a worker process brings to its tasks: `app.conf.saring`."""

    @property
    def stages(self) -> Mapping[str, Stage[Any, Any]]:
        """What can be spread, by name."""

    def context(self) -> WorkContext:
        """What to work with, made once a process."""

    def forget(self) -> None:
        """Make the context anew when it is next asked for: the store went away."""


@shared_task(name=SHARD, bind=True, max_retries=None)
def shard_task(self: Task, run_id: int, number: int) -> str:
    """Do one shard of a run."""
    tried = self.request.retries
    return _with_retries(
        self,
        lambda env: str(
            run_shard(env.context(), env.stages, run_id, number, again=tried > 0, last=tried + 1 >= _TRIES)
        ),
    )


@shared_task(name=REDUCE, bind=True, max_retries=None)
def reduce_task(self: Task, run_id: int) -> None:
    """Put a run's shards together, and send those that come next."""
    numbers = _with_retries(self, lambda env: finish_run(env.context(), env.stages, run_id))
    if numbers:
        send_shards(self.app, _environment(self.app), run_id, numbers)


@shared_task(name=SWEEP, bind=True, throws=(StoreError, DBAPIError))
def sweep_task(self: Task) -> None:
    """Send again what was lost on the way."""
    env = _environment(self.app)
    ctx = env.context()
    lost = find_lost(ctx.engine, now=datetime.now(UTC), patience=timedelta(seconds=ctx.settings.resend_seconds))
    for run_id, numbers in lost.shards.items():
        log.warning("run %s: %d shards were lost on the way and are sent again", run_id, len(numbers))
        for one in _signatures(self.app, env, run_id, numbers):
            one.apply_async()
    for run_id in lost.unfinished:
        self.app.signature(REDUCE, args=(run_id,), queue=CONTROL_QUEUE).apply_async()
    for run_id in lost.died:
        log.warning("run %s ended without finishing: give its command again to go on", run_id)


def send_shards(app: Celery, env: Environment, run_id: int, numbers: Sequence[int]) -> None:
    """Hand shards to the workers, and what puts them together once all are done. If the broker is away, or loses a
    message, the sweep sends them again."""
    body = app.signature(REDUCE, args=(run_id,), immutable=True, options={"queue": CONTROL_QUEUE} | _NO_RESULT)
    try:
        if numbers:
            chord(_signatures(app, env, run_id, numbers), body, app=app).apply_async()
        else:
            body.apply_async()
    except (OperationalError, ConnectionError, RedisError) as error:
        log.warning("run %s could not be handed on (%s): it is sent when the broker is back", run_id, error)


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
    """Do the work; what may go better in a moment is tried again after a while (exponential backoff, full jitter)."""
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
