"""Metrics for Prometheus: requests, the model that serves, the store and the broker.

Requests are counted as they are answered. The store and the broker are asked when somebody scrapes, for a short time
and not twice within a few seconds; either may be away, which is a figure like any other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_backend.config import BackendConfig
from ml_backend.serving import Champion
from pipeline.errors import SaringError, StoreError
from pipeline.preannotation.propose import model_name
from pipeline.store.gauges import Gauges, read_gauges

logger = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
#: that one query may take
_QUERY_SECONDS = 2.0
#: seconds; half of all requests take less than 35 ms, a large one some seconds
_BUCKETS = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: the endpoint of whatever is not one: paths come from outside, and each label value is kept for good
_OTHER = "other"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The store and the broker at one moment; None: it was away."""

    at: float
    gauges: Gauges | None
    depths: Mapping[str, int] | None


class Metrics:
    """The metrics of one application."""

    def __init__(self, config: BackendConfig, champion: Champion) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "saring_request_seconds",
            "Seconds from the first byte of a request to the last of its answer.",
            ("endpoint", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._predictions = Counter(
            "saring_predictions",
            "Predictions that were served, by what they came from: store, champion, nothing.",
            ("source",),
            registry=self._registry,
        )
        self._asked = Counter(
            "saring_asked_texts",
            "Texts of applications whose policy keeps them: stored, known, unusable, dropped (no room), failed.",
            ("outcome",),
            registry=self._registry,
        )
        self._registry.register(_Watched(config, champion))
        ProcessCollector(registry=self._registry)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(endpoint, str(status)).observe(seconds)

    def predicted(self, source: str, count: int) -> None:
        """Predictions were served."""
        self._predictions.labels(source).inc(count)

    def asked(self, outcome: str, count: int) -> None:
        """Texts of applications were kept, or not."""
        self._asked.labels(outcome).inc(count)

    def scrape(self) -> bytes:
        """All of it, in Prometheus' text format. From one thread at a time."""
        return generate_latest(self._registry)


class Stopwatch:
    """Takes the time of each request, refused ones included."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        # of a request that raises, or whose sender went away
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.answered(self._endpoint(scope), status, time.perf_counter() - began)

    def _endpoint(self, scope: Scope) -> str:
        path = scope["path"]
        # one with parameters in it is known once it was found; nothing else that is sent becomes a label
        if isinstance(route := scope.get("route"), Route):
            return route.path
        return path if any(isinstance(route, Route) and route.path == path for route in self._routes) else _OTHER


class _Watched(Collector):
    """The values that are looked up when Prometheus asks."""

    def __init__(self, config: BackendConfig, champion: Champion) -> None:
        self._config = config
        self._champion = champion
        self._seen: _Seen | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing is said beforehand, so that making an application asks nobody."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families; those of a store or a broker that is away are left out, but for the one that says so."""
        seen = self._looked()
        yield from _serving(self._champion)
        yield GaugeMetricFamily("saring_store_up", "Whether the store answers.", value=seen.gauges is not None)
        if seen.gauges is not None:
            yield from _of_store(seen.gauges)
        if self._config.queue_depths is None:
            return
        yield GaugeMetricFamily("saring_broker_up", "Whether the broker answers.", value=seen.depths is not None)
        if seen.depths is not None:
            depth = GaugeMetricFamily("saring_queue_depth", "Jobs that no worker has taken.", labels=("queue",))
            for queue, jobs in seen.depths.items():
                depth.add_metric((queue,), jobs)
            yield depth

    def _looked(self) -> _Seen:
        now = time.monotonic()
        if self._seen is None or now - self._seen.at >= self._config.limits.fresh:
            gauges, depths = self._gauges(), self._depths()
            self._seen = _Seen(time.monotonic(), gauges, depths)
        return self._seen

    def _gauges(self) -> Gauges | None:
        # whoever looks for the champion finds out whether the store is back, and nobody waits for it here
        if not self._champion.store_ok:
            return None
        try:
            return read_gauges(self._config.engine, seconds=_QUERY_SECONDS)
        except (StoreError, SQLAlchemyError) as error:
            logger.warning("the store's figures cannot be read: %s", type(error).__name__)
            return None

    def _depths(self) -> Mapping[str, int] | None:
        if self._config.queue_depths is None:
            return None
        try:
            return self._config.queue_depths()
        except SaringError as error:
            logger.warning("the broker's queues cannot be read: %s", error)
            return None


def _serving(champion: Champion) -> Iterator[Metric]:
    serving = champion.serving
    labels = {"version": serving.version, "champion": model_name(serving.preannotator.model)}
    yield InfoMetricFamily("saring_serving", "What predictions carry, and the model behind them.", value=labels)
    has_model = serving.preannotator.model is not None
    yield GaugeMetricFamily("saring_champion_serving", "Whether a champion serves.", value=has_model)


def _of_store(gauges: Gauges) -> Iterator[Metric]:
    champions = GaugeMetricFamily(
        "saring_champion", "1 for the registry's champion of each purpose.", labels=("purpose", "version")
    )
    for purpose, version in gauges.champions.items():
        champions.add_metric((purpose, version), 1)
    yield champions
    age = GaugeMetricFamily(
        "saring_model_age_seconds", "Seconds since a model of a purpose was last made.", labels=("purpose",)
    )
    for purpose, seconds in gauges.model_age.items():
        age.add_metric((purpose,), seconds)
    yield age
    yield GaugeMetricFamily("saring_texts_queued", "Texts that wait to be pushed.", value=gauges.queued)
    yield GaugeMetricFamily("saring_tasks_open", "Tasks that wait for an answer.", value=gauges.open_tasks)
    yield GaugeMetricFamily("saring_events_waiting", "Events that no job has looked at.", value=gauges.waiting_events)
    lag = GaugeMetricFamily(
        "saring_sync_lag_seconds",
        "Seconds since all changes of a Label Studio project were known to be in the ledger; +Inf: never pulled.",
        labels=("project", "label_studio_project"),
    )
    for project, behind in gauges.sync_lag.items():
        lag.add_metric((str(project.id), str(project.label_studio_id)), float("inf") if behind is None else behind)
    yield lag
    runs = GaugeMetricFamily("saring_runs", "Runs by stage and state.", labels=("stage", "state"))
    for (stage, state), count in gauges.runs.items():
        runs.add_metric((stage, state), count)
    yield runs
    yield GaugeMetricFamily(
        "saring_run_silence_seconds",
        "Seconds since the last sign of life of the run under way that has been silent longest.",
        value=gauges.silence,
    )
    yield GaugeMetricFamily(
        "saring_shards_parked",
        "Parts of work that were set aside, of each stage's last run on its slice.",
        value=gauges.parked_shards,
    )
    yield CounterMetricFamily("saring_human_judgements", "Judgements of people.", value=gauges.human_judgements)
