"""The Celery application: the queues of jobs, and the settings under which jobs run.

A job may run twice, if its worker died after the work and before it confirmed the message. So each job is safe to
repeat, and a job that runs already ends at once. The data of a job is in the store, never in its message.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from celery import Celery
from kombu.exceptions import OperationalError

from pipeline.runs.tasks import CONTROL_QUEUE, REDUCE, SHARD, SWEEP, Environment
from pipeline.settings import Settings
from saring.services import ensure_broker
from saring.services.valkey import plain_address
from saring.workers.result_backend import backend_url

log = logging.getLogger(__name__)


class Sender(Protocol):
    """A function that sends a job by name."""

    def __call__(self, name: str, arguments: Mapping[str, Any], queue: str | None = None, /) -> None:
        """Send a job with these arguments; to another queue than the usual one if it is named."""


#: queue of each job: `io` for jobs that wait for the network, `cpu` for jobs that compute
_ROUTES = {
    "saring.pull": "io",
    "saring.reconcile": "io",
    "saring.refill": "io",
    "saring.notices": "io",
    "saring.drift": "cpu",
    "saring.predict_ahead": "cpu",
    "saring.retrain": "cpu",
    "saring.reembed": "cpu",
    # Where to cut the work takes long, the message names `cpu`.
    "saring.start": "io",
    "saring.send": "io",
    # A stage may name another queue for its shards.
    SHARD: "cpu",
    SWEEP: CONTROL_QUEUE,
    REDUCE: CONTROL_QUEUE,
}
QUEUES = ("io", "cpu", "gpu")
#: seconds after which the broker gives an unconfirmed message to another worker; longer than any job. The jobs of a
#: dead worker do not wait for this: the sweep finds them in the store.
_UNCONFIRMED_SECONDS = 24 * 3600
#: limits of a worker's process: after so many jobs, or with more memory, it is replaced
_JOBS_A_PROCESS, _KILOBYTES_A_PROCESS = 2_000, 3_000_000
#: longest sleep of the scheduler, and seconds until another scheduler takes over from one that died
_BEAT_SECONDS, _BEAT_LOCK_SECONDS = 2, 10
_RESULT_SECONDS = 24 * 3600
#: Seconds after which a request to the broker fails and a new connection is made. A network may lose packets without an
#: error: then the connection looks alive, and the kernel tries for 15 minutes. No command of the broker takes as long,
#: because waiting for a job is a request that is repeated every second.
_ANSWER_SECONDS, _CONNECT_SECONDS = 10, 5


def make_app(
    broker_url: str,
    environment: Environment | None = None,
    settings: Settings | None = None,
    *,
    carries_out: bool = True,
) -> Celery:
    """The Celery application on a broker.

    Args:
        broker_url: the broker's address, in Celery's form.
        environment: the context and stages for tasks on runs; needed to run or send them.
        settings: the settings of the schedule; needed to send the regular jobs.
        carries_out: this process runs jobs, so their code is loaded.
    """
    from saring.workers.schedule import beat_schedule

    app = Celery(
        "saring",
        broker=broker_url,
        backend=None if broker_url.startswith("memory:") else backend_url(broker_url),
        include=["pipeline.runs.tasks", "saring.workers.jobs"] if carries_out else [],
        set_as_current=False,
    )
    app.conf.update(
        saring=environment,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        result_expires=_RESULT_SECONDS,
        task_routes={name: {"queue": queue} for name, queue in _routes(settings).items()},
        task_default_queue="cpu",
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_max_tasks_per_child=_JOBS_A_PROCESS,
        worker_max_memory_per_child=_KILOBYTES_A_PROCESS,
        worker_hijack_root_logger=False,
        # A task that runs while the broker is away is finished. Its message comes again, and then ends at once.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": _UNCONFIRMED_SECONDS,
            "socket_timeout": _ANSWER_SECONDS,
            # Celery leaves this out for a Unix socket.
            "socket_connect_timeout": _CONNECT_SECONDS,
        },
        # The same limits hold for the result backend, where a chord counts its shards.
        redis_socket_timeout=_ANSWER_SECONDS,
        redis_socket_connect_timeout=_CONNECT_SECONDS,
        enable_utc=True,
        timezone="UTC",
        beat_schedule=beat_schedule(settings) if settings is not None else {},
        beat_max_loop_interval=_BEAT_SECONDS,
        redbeat_redis_url=plain_address(broker_url),
        redbeat_redis_options={"retry_period": _BEAT_LOCK_SECONDS},
        redbeat_lock_timeout=_BEAT_LOCK_SECONDS,
    )
    return app


def job_sender(settings: Settings) -> Sender:
    """A function that sends jobs by name, each to its queue.

    If the broker is away, it only logs this: the job's data is in the store, and the scheduler sends the job later.

    Raises:
        ServiceError: the embedded broker cannot be started.
    """
    app = make_app(ensure_broker(settings))
    routes = _routes(settings)

    def send(name: str, arguments: Mapping[str, Any], queue: str | None = None) -> None:
        try:
            app.send_task(name, kwargs=dict(arguments), retry=False, queue=queue or routes.get(name, "cpu"))
        except OperationalError as error:
            log.warning("%s could not be sent (%s): the scheduler will send it", name, error)

    return send


def _routes(settings: Settings | None) -> Mapping[str, str]:
    """The queue of each job; trainings go where the settings say."""
    return _ROUTES if settings is None else {**_ROUTES, "saring.retrain": settings.train_queue}
