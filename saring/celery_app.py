"""The Celery application: where jobs are sent, how they are carried out, and when the regular ones are due.

A job may be carried out twice (its worker died after the work and before saying so), so each is safe to repeat; one
that is under way already ends at once. What a job works on lies in the store, never in its message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.schedules import crontab
from kombu.exceptions import OperationalError

from pipeline.settings import Settings
from saring.services import ensure_broker

log = logging.getLogger(__name__)

Sender = Callable[[str, Mapping[str, Any]], None]

#: jobs by what they wait for: the network, or a processor
_ROUTES = {
    "saring.pull": "io",
    "saring.reconcile": "io",
    "saring.predict_ahead": "cpu",
    "saring.retrain": "cpu",
}
QUEUES = ("io", "cpu")
#: longer than any job: a broker gives a message that nobody confirmed in this time to another worker
_UNCONFIRMED_SECONDS = 6 * 3600
#: webhooks may be lost, so Label Studio is asked as well
_PULL_SECONDS = 60.0
#: for presses of the training button that came during a training, and for champions that were promoted by hand
_LOOK_SECONDS = 600.0
#: what is due as soon as somebody keeps the schedule: nobody may have been at work for long, and a job that its worker
#: took and died with is not given to another before `_UNCONFIRMED_SECONDS` are over
_OVERDUE = datetime(1970, 1, 1, tzinfo=UTC)


def make_app(broker_url: str) -> Celery:
    """The application on a broker; its jobs are those of `saring.jobs`."""
    app = Celery("saring", broker=broker_url, include=["saring.jobs"], set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_routes={name: {"queue": queue} for name, queue in _ROUTES.items()},
        task_default_queue="cpu",
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        # leaves no memory of one retraining to the next
        worker_max_tasks_per_child=200,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": _UNCONFIRMED_SECONDS},
        enable_utc=True,
        timezone="UTC",
        beat_schedule={
            "pull": _every(_PULL_SECONDS, "saring.pull"),
            "retrain": _every(_LOOK_SECONDS, "saring.retrain"),
            "predict_ahead": _every(_LOOK_SECONDS, "saring.predict_ahead"),
            "reconcile": {"task": "saring.reconcile", "schedule": crontab(hour="19", minute="10")},  # 03:10 in Malaysia
        },
    )
    return app


def _every(seconds: float, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "last_run_at": _OVERDUE, "options": {"expires": seconds}}


def job_sender(settings: Settings) -> Sender:
    """Sends jobs by name. A broker that is away is logged: what a job works on waits in the store for the schedule.

    Raises:
        ServiceError: the embedded broker cannot be started.
    """
    app = make_app(ensure_broker(settings))

    def send(name: str, arguments: Mapping[str, Any]) -> None:
        try:
            app.send_task(name, kwargs=dict(arguments), retry=False, queue=_ROUTES.get(name, "cpu"))
        except OperationalError as error:
            log.warning("%s could not be handed on (%s): the schedule will do it", name, error)

    return send
