"""The executor that runs a stage on Celery workers, and follows its progress."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from pipeline.errors import RunCancelled, RunFailed
from pipeline.progress import Progress
from pipeline.runs.book import open_run, reopen_run
from pipeline.runs.stage import Stage, WorkContext, queue_of
from pipeline.runs.tasks import send_shards
from pipeline.runs.values import Values, from_values
from pipeline.runs.watch import RunStatus, follow
from pipeline.store.tables.core import RunState
from saring.services import ensure_broker
from saring.workers.app import make_app
from saring.workers.environment import FixedEnvironment
from saring.workers.stages import stages_for

log = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")
#: seconds to wait for the workers' answers about their queues
_ASK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Workers:
    """An executor that runs a stage on the Celery workers of a home, and waits for it.

    Args:
        tell: called with each sentence that a person should read; the default writes it to the log.
    """

    tell: Callable[[str], None] = log.warning

    def run(self, stage: Stage[P, R], home: WorkContext, params: P, progress: Progress) -> R:
        """Run a stage to its end, and return its report.

        Raises:
            RunConflict: the stage is running on this data already.
            RunFailed: the run, or a part of it, ended in an error.
            RunCancelled: the run was cancelled.
        """
        run_id = self.start(stage, home, params)
        return from_values(stage.report, self.wait(home, run_id, progress))

    def start(self, stage: Stage[P, Any], home: WorkContext, params: P) -> int:
        """Send a stage to the workers, and return the run's id at once.

        Raises:
            RunConflict: the stage is running on this data already.
        """
        environment = FixedEnvironment(home, stages_for(home.settings))
        app = make_app(ensure_broker(home.settings), environment)
        plan = stage.plan(home, params)
        run_id, numbers = open_run(home.engine, stage.name, plan)
        send_shards(app, environment, run_id, numbers)
        self._tell_of_missing_worker(app, queue_of(stage, plan.slice))
        return run_id

    def resume(self, home: WorkContext, run_id: int) -> int:
        """Continue a run on workers, with its parked shards; the number of shards that were sent.

        Raises:
            RunMissing: there is no such run.
            RunConflict: its stage is running on the same data already.
        """
        environment = FixedEnvironment(home, stages_for(home.settings))
        app = make_app(ensure_broker(home.settings), environment)
        numbers = reopen_run(home.engine, run_id)
        send_shards(app, environment, run_id, numbers)
        return len(numbers)

    def wait(self, home: WorkContext, run_id: int, progress: Progress) -> Values:
        """Follow a run to its end; the plain values of its report.

        Raises:
            RunMissing: there is no such run.
            RunFailed: the run ended in an error.
            RunCancelled: the run was cancelled.
        """
        stages = stages_for(home.settings)
        last: RunStatus | None = None
        try:
            for last in follow(home.engine, run_id):
                stage = stages.get(last.stage)
                progress(last.done, last.total, f"{stage.what if stage else last.stage} (run {run_id}, on workers)")
        except KeyboardInterrupt:
            self.tell(
                f"run {run_id} continues on the workers: `saring runs watch {run_id}` follows it, "
                f"`saring runs cancel {run_id}` cancels it"
            )
            raise
        assert last is not None, "a run has a status"
        if last.state is RunState.CANCELLED:
            raise RunCancelled(f"run {run_id} was cancelled: `saring runs resume {run_id}` continues it")
        if last.state is RunState.FAILED:
            raise RunFailed(f"run {run_id} failed: {last.error}; `saring runs resume {run_id}` tries again")
        if last.error is not None:
            self.tell(f"run {run_id}: {last.error}")
        # The warning gives the number of parked shards.
        return {name: value for name, value in (last.result or {}).items() if name != "parked"}

    def _tell_of_missing_worker(self, app: Celery, queue: str) -> None:
        try:
            taken = app.control.inspect(timeout=_ASK_SECONDS).active_queues() or {}
        except (OperationalError, ConnectionError, RedisError):
            # The broker is away. The shards are in the store, and are sent when it is back.
            return
        if not any(served["name"] == queue for queues in taken.values() for served in queues):
            self.tell(
                f"no running worker takes jobs from the queue {queue!r}: start one with `saring up` "
                f"or `saring worker --queues {queue}`"
            )
