"""/metrics of a backend that is being served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, make_url

from ml_backend.config import Limits
from pipeline import store
from pipeline.backend_credentials import METRICS_USER
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.store import make_engine, open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.human_loop import ProjectState
from pipeline.store.tables.work import ShardState
from saring.services.valkey import client
from tests.support.backend import (
    METRICS,
    PROJECT,
    Backend,
    add_text,
    free_port,
    promote,
    push_task,
    served,
    serving,
    task,
    train_model,
)
from tests.support.metrics import Scrape, add_run, scrape
from tests.support.waiting import until

#: what was read is not shown twice
_LIMITS = Limits(poll=0.05, retry=0.05, fresh=0.0)


def note_pull(engine: Engine, at: datetime) -> None:
    """Note that the one project was pulled."""
    with open_session(engine) as session, session.begin():
        project = session.query(store.Project).one()
        session.add(store.SyncCursor(project_id=project.id, watermark=at, looked_at=at))


@pytest.fixture
def shut(server_url: str, database_url: str) -> Callable[[bool], None]:
    """Closes the test's database to everybody, or opens it again."""

    def set_to(closed: bool) -> None:
        name = make_url(database_url).database or ""
        plain = make_url(server_url).set(drivername="postgresql", database="postgres")
        with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
            allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
            connection.execute(allow.format(sql.Identifier(name), sql.Literal(not closed)))
            if closed:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    return set_to


@pytest.fixture
def backend(engine: Engine) -> Iterator[Backend]:
    with served(engine, limits=_LIMITS) as running:
        yield running


def test_strangers_see_nothing(backend: Backend) -> None:
    with backend.client(auth=None) as asking:
        refused = asking.get("/metrics")
    assert refused.status_code == 401
    assert "saring_" not in refused.text
    assert scrape(backend).value("saring_request_seconds_count", endpoint="/metrics", status="401") == 1


def test_the_metrics_have_a_password_of_their_own_which_opens_nothing_else(backend: Backend) -> None:
    with backend.client() as label_studio, backend.client((METRICS_USER, METRICS)) as reader:
        assert label_studio.get("/versions").status_code == 200
        assert label_studio.get("/metrics").status_code == 401
        assert reader.get("/metrics").status_code == 200
        for ask in (reader.get("/versions"), reader.post("/predict", json={}), reader.post("/webhook", json={})):
            assert ask.status_code == 401


def test_predictions_are_counted_by_where_they_come_from(engine: Engine, tmp_path: Path) -> None:
    version = promote(engine, train_model(tmp_path))
    add_text(engine, "teks yang dikenali", "hate")
    with served(engine, limits=_LIMITS) as backend:
        backend.predict([task("teks yang dikenali"), task("cerita lucah lagi"), task("main bola"), task(None)])
        # more than are answered together with others
        backend.predict([task("cerita lucah lagi")] * 100)
        seen = scrape(backend)
        carried = backend.version()
    sources = {name: seen.value("saring_predictions_total", source=name) for name in ("store", "champion", "nothing")}
    assert sources == {"store": 1, "champion": 102, "nothing": 1}
    assert seen.value("saring_request_seconds_count", endpoint="/predict", status="200") == 2
    assert seen.value("saring_request_seconds_bucket", endpoint="/predict", status="200", le="+Inf") == 2
    assert seen.value("saring_champion_serving") == 1
    assert seen.value("saring_serving_info", version=carried, champion=version) == 1
    assert seen.value("saring_champion", purpose="sfw", version=version) == 1
    age = seen.value("saring_model_age_seconds", purpose="sfw")
    assert age is not None
    assert 0 <= age < 3600


def test_paths_from_outside_are_no_labels(backend: Backend) -> None:
    with backend.client() as asking:
        for path in ("/a-secret", "/another", "/predict/x"):
            assert asking.get(path).status_code == 404
    seen = scrape(backend)
    assert seen.value("saring_request_seconds_count", endpoint="other", status="404") == 3
    assert not any("secret" in label for sample in seen.samples for label in sample.labels.values())


def test_the_store_is_looked_into(backend: Backend, engine: Engine) -> None:
    said_by_a_machine = add_text(engine, "teks satu", "hate")
    push_task(engine, said_by_a_machine)
    assert scrape(backend).value("saring_sync_lag_seconds", label_studio_project=str(PROJECT)) == float("inf")
    note_pull(engine, datetime.now(UTC) - timedelta(seconds=500))
    add_run(engine, "embed", RunState.FAILED, ShardState.DONE, ShardState.PARKED)
    add_run(engine, "filter", RunState.FAILED, ShardState.PARKED, ShardState.PARKED)
    # which went well the next time
    add_run(engine, "filter", RunState.DONE, ShardState.DONE)
    add_run(engine, "judge", RunState.RUNNING)
    with open_session(engine) as session, session.begin():
        item = {"strategy": "random", "reason": "drawn", "inclusion_probability": 0.5, "priority": 0.5}
        session.add(store.QueueItem(text_id=said_by_a_machine, **item))
        session.add(store.Event(action="TASKS_CREATED", body={}))
        person = rater_id(session, RaterRef(RaterKind.HUMAN, "somebody", "1"))
        record(session, person, [NewJudgement(said_by_a_machine, frozenset({"porn"}))], taxonomy_version="t")
    seen = scrape(backend)
    lag = seen.value("saring_sync_lag_seconds", label_studio_project=str(PROJECT))
    assert lag is not None
    assert 500 <= lag < 800
    silence = seen.value("saring_run_silence_seconds")
    assert silence is not None
    assert 0 <= silence < 300
    expected: Mapping[str, float] = {
        "saring_store_up": 1,
        "saring_texts_queued": 1,
        "saring_tasks_open": 1,
        "saring_events_waiting": 1,
        "saring_shards_parked": 1,
        "saring_human_judgements_total": 1,
        "saring_champion_serving": 0,
    }
    assert {name: seen.value(name) for name in expected} == expected
    runs = {(one.labels["stage"], one.labels["state"]): one.value for one in seen.samples if one.name == "saring_runs"}
    assert runs == {("embed", "failed"): 1, ("filter", "failed"): 1, ("filter", "done"): 1, ("judge", "running"): 1}


def test_projects_that_are_gone_are_not_missed(backend: Backend, engine: Engine) -> None:
    push_task(engine, add_text(engine, "teks satu"))
    with open_session(engine) as session, session.begin():
        session.query(store.Project).one().state = ProjectState.GONE
    assert scrape(backend).value("saring_sync_lag_seconds") is None


def test_a_store_that_goes_away_is_a_figure(engine: Engine, tmp_path: Path, shut: Callable[[bool], None]) -> None:
    promote(engine, train_model(tmp_path))
    with served(engine, limits=_LIMITS) as backend:
        assert scrape(backend).value("saring_store_up") == 1
        shut(True)
        until(lambda: scrape(backend).value("saring_store_up") == 0, "the store is missed")
        backend.predict([task("cerita lucah lagi")])
        away = scrape(backend)
        assert away.value("saring_texts_queued") is None
        assert away.value("saring_champion_serving") == 1
        assert away.value("saring_predictions_total", source="champion") == 1
        shut(False)
        until(lambda: scrape(backend).value("saring_store_up") == 1, "the store is back")
        assert scrape(backend).value("saring_texts_queued") == 0


def test_a_store_of_another_schema_is_a_figure(empty_database_url: str) -> None:
    empty = make_engine(empty_database_url)
    with served(empty, limits=_LIMITS) as backend:
        assert scrape(backend).value("saring_store_up") == 0
    empty.dispose()


def test_many_scrapes_ask_the_store_once(engine: Engine) -> None:
    with served(engine, limits=Limits(fresh=3600.0)) as backend:
        first = scrape(backend)
        add_run(engine, "embed", RunState.DONE)
        again = scrape(backend)
    assert not [one for one in (*first.samples, *again.samples) if one.name == "saring_runs"]


def test_the_queues_of_a_real_broker_are_shown(environment: dict[str, str], broker_url: str) -> None:
    port = free_port()
    environment = environment | {"SARING_REDIS_URL": broker_url, "SARING_METRICS_PASSWORD": METRICS}
    url = f"http://127.0.0.1:{port}/metrics"
    with client(broker_url) as broker:
        before = {queue: broker.llen(queue) for queue in ("io", "cpu")}
        broker.rpush("io", "a", "b")
        try:
            with serving(environment, port):
                answer = httpx.get(url, auth=("metrics", METRICS), timeout=60, trust_env=False)
        finally:
            broker.rpop("io", 2)
    seen = Scrape(answer.raise_for_status().text)
    assert seen.value("saring_broker_up") == 1
    assert seen.value("saring_queue_depth", queue="io") == before["io"] + 2
    assert seen.value("saring_queue_depth", queue="cpu") == before["cpu"]


def test_a_broker_that_is_away_is_a_figure(environment: dict[str, str]) -> None:
    port = free_port()
    nowhere = {"SARING_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "SARING_METRICS_PASSWORD": METRICS}
    with serving(environment | nowhere, port):
        url = f"http://127.0.0.1:{port}/metrics"
        answer = httpx.get(url, auth=("metrics", METRICS), timeout=60, trust_env=False)
    seen = Scrape(answer.raise_for_status().text)
    assert seen.value("saring_broker_up") == 0
    assert seen.value("saring_queue_depth") is None
    assert seen.value("saring_store_up") == 1
