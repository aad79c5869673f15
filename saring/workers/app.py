"""The Celery application: where jobs are sent, and how they are carried out.

A job may be carried out twice (its worker died after the work and before saying so), so each is safe to repeat; one
that is under way already ends at once. What a job works on lies in the store, never in its message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from pipeline.runs.tasks import CONTROL_QUEUE, REDUCE, SHARD, SWEEP, Environment
from pipeline.settings import Settings
from saring.services import ensure_broker
from saring.services.valkey import plain_address
from saring.workers.result_backend import backend_url

log = logging.getLogger(__name__)

Sender = Callable[[str, Mapping[str, Any]], None]

#: jobs by what they wait for: the network, or a processor
_ROUTES = {
    "saring.pull": "io",
    "saring.reconcile": "io",
    "saring.refill": "io",
    "saring.predict_ahead": "cpu",
    "saring.retrain": "cpu",
    "saring.reembed": "cpu",
    # or the queue of its stage
    SHARD: "cpu",
    SWEEP: CONTROL_QUEUE,
    REDUCE: CONTROL_QUEUE,
}
QUEUES = ("io", "cpu", "gpu")
#: longer than any job: a broker gives a message that nobody confirmed in this time to another worker. What a dead
#: worker had in hand does not wait for this: the sweep finds it in the store.
_UNCONFIRMED_SECONDS = 24 * 3600
#: a process of a worker is replaced after so many jobs, or when it holds more memory than this
_JOBS_A_PROCESS, _KILOBYTES_A_PROCESS = 2_000, 3_000_000
#: how long beat sleeps at most, and how long nobody else may send the jobs after the one who did died
_BEAT_SECONDS, _BEAT_LOCK_SECONDS = 2, 10
_RESULT_SECONDS = 24 * 3600
#: A network that loses packets without a word leaves connections that look alive, and the kernel tries for a quarter of
#: an hour. So whoever waits for the broker's answer gives up after this, and connects anew. No command takes as long:
#: what waits for a job is asked again every second.
_ANSWER_SECONDS, _CONNECT_SECONDS = 10, 5


def make_app(
    broker_url: str,
    environment: Environment | None = None,
    settings: Settings | None = None,
    *,
    carries_out: bool = True,
) -> Celery:
    """The application on a broker.

    Args:
        broker_url: as Celery takes it.
        environment: what tasks on runs work with; needed where they are carried out, or sent.
        settings: those that the schedule is made from; needed where it is kept.
        carries_out: jobs are carried out here, so their code is loaded.
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
        # a task that runs while the broker is away is finished; its message comes again, and finds it done
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": _UNCONFIRMED_SECONDS,
            "socket_timeout": _ANSWER_SECONDS,
            # not of a Unix socket, where Celery leaves it out
            "socket_connect_timeout": _CONNECT_SECONDS,
        },
        # the same where a chord counts its shards
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
    """Sends jobs by name. A broker that is away is logged: what a job works on waits in the store for the schedule.

    Raises:
        ServiceError: the embedded broker cannot be started.
    """
    app = make_app(ensure_broker(settings))
    routes = _routes(settings)

    def send(name: str, arguments: Mapping[str, Any]) -> None:
        try:
            app.send_task(name, kwargs=dict(arguments), retry=False, queue=routes.get(name, "cpu"))
        except OperationalError as error:
            log.warning("%s could not be handed on (%s): the schedule will do it", name, error)

    return send


def _routes(settings: Settings | None) -> Mapping[str, str]:
    """The queue of each job; trainings go where the settings say."""
    return _ROUTES if settings is None else {**_ROUTES, "saring.retrain": settings.train_queue}
