"""Metrics of a backend that is being served, as Prometheus reads them, and runs to be counted there."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from pipeline import store
from pipeline.backend_credentials import METRICS_USER
from pipeline.store import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from tests.support.backend import METRICS, Backend


class Scrape:
    """What one scrape shows."""

    def __init__(self, shown: str) -> None:
        self.families = list(text_string_to_metric_families(shown))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """The one sample with that name and those labels among its own; None if there is none."""
        found = [one.value for one in self.samples if one.name == name and labels.items() <= one.labels.items()]
        assert len(found) <= 1, f"{name} {labels}: {found}"
        return float(found[0]) if found else None


def scrape(backend: Backend) -> Scrape:
    with backend.client((METRICS_USER, METRICS)) as asking:
        answer = asking.get("/metrics").raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Scrape(answer.text)


def add_run(engine: Engine, stage: str, state: RunState, *shards: ShardState) -> None:
    """A run of a stage, with shards in those states."""
    with open_session(engine) as session, session.begin():
        run = store.Run(stage=stage, state=state)
        session.add(run)
        session.flush()
        session.add_all(store.Shard(run_id=run.id, number=i, state=one) for i, one in enumerate(shards))
