"""The executor that hands a stage to Celery workers, and follows it."""

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
#: seconds in which workers are to say what they take
_ASK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Workers:
    """Runs a stage on the Celery workers of a home, and waits for it.

    Args:
        tell: told what a person should know, a sentence each; without it, the log is.
    """

    tell: Callable[[str], None] = log.warning

    def run(self, stage: Stage[P, R], home: WorkContext, params: P, progress: Progress) -> R:
        """Run a stage to its end, and return its report.

        Raises:
            RunConflict: the stage is at work on that data already.
            RunFailed: the run ended in an error, or parts of it did.
            RunCancelled: somebody cancelled it.
        """
        run_id = self.start(stage, home, params)
        return from_values(stage.report, self.wait(home, run_id, progress))

    def start(self, stage: Stage[P, Any], home: WorkContext, params: P) -> int:
        """Hand a stage to the workers; the run's id, at once.

        Raises:
            RunConflict: the stage is at work on that data already.
        """
        environment = FixedEnvironment(home, stages_for(home.settings))
        app = make_app(ensure_broker(home.settings), environment)
        plan = stage.plan(home, params)
        run_id, numbers = open_run(home.engine, stage.name, plan)
        send_shards(app, environment, run_id, numbers)
        self._tell_of_missing_worker(app, queue_of(stage, plan.slice))
        return run_id

    def resume(self, home: WorkContext, run_id: int) -> int:
        """Let a run on workers go on, with what was parked of it; how many shards were sent.

        Raises:
            RunMissing: there is no such run.
            RunConflict: its stage is at work on its slice already.
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
            RunFailed: it ended in an error.
            RunCancelled: somebody cancelled it.
        """
        stages = stages_for(home.settings)
        last: RunStatus | None = None
        try:
            for last in follow(home.engine, run_id):
                stage = stages.get(last.stage)
                progress(last.done, last.total, f"{stage.what if stage else last.stage} (run {run_id}, on workers)")
        except KeyboardInterrupt:
            self.tell(
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
            self.tell(f"run {run_id}: {last.error}")
        # The number of parked shards is in the warning.
        return {name: value for name, value in (last.result or {}).items() if name != "parked"}

    def _tell_of_missing_worker(self, app: Celery, queue: str) -> None:
        try:
            taken = app.control.inspect(timeout=_ASK_SECONDS).active_queues() or {}
        except (OperationalError, ConnectionError, RedisError):
            # The broker is away: what was to be sent waits for it in the store.
            return
        if not any(served["name"] == queue for queues in taken.values() for served in queues):
            self.tell(
                f"no worker takes work of the kind {queue!r} at the moment: start one with `saring up`, "
                f"or with `saring worker --queues {queue}`"
            )
