"""The champion changes while the backend serves, or cannot be loaded, or the store is away."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, make_url

from ml_backend.config import Limits
from pipeline.learning import registry
from pipeline.store import open_session
from pipeline.store.session import make_engine
from tests.support.backend import Backend, add_text, choices, promote, push_task, request, served, task, train_model
from tests.support.waiting import until


def store_is(backend: Backend) -> str:
    with backend.client() as client:
        return str(client.get("/health").raise_for_status().json()["store"])


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


def test_a_new_champion_serves_without_a_restart_or_a_failed_request(engine: Engine, tmp_path: Path) -> None:
    first, second = train_model(tmp_path), train_model(tmp_path, word="bangang", label="harassment")
    promote(engine, first)
    ended = threading.Event()
    wrong: list[str] = []
    seen: set[str] = set()
    with served(engine) as backend:

        def ask(tasks: int) -> None:
            body = request([task("cerita lucah lagi"), task("memang bangang lagi")] * tasks)
            with backend.client() as client:
                while not ended.is_set():
                    answer = client.post("/predict", json=body)
                    if answer.status_code != 200:
                        wrong.append(answer.text)
                        continue
                    results = answer.json()["results"]
                    versions = {one["model_version"] for one in results}
                    seen.update(versions)
                    ticked = [choices(one) for one in results]
                    old = first.model.manifest.version in results[0]["model_version"]
                    # the labels are those of the version that the answer names, from its first task to its last
                    expected = [["porn"], []] if old else [[], ["harassment"]]
                    if len(versions) != 1 or ticked != expected * tasks:
                        wrong.append(f"{versions}: {ticked[:4]}")

        threads = [threading.Thread(target=ask, args=(count,)) for count in (1, 1, 1, 400)]
        for thread in threads:
            thread.start()
        try:
            for report in (second, first, second):
                version = promote(engine, report)
                until(lambda wanted=version: wanted in backend.version(), f"{version} serves")
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert wrong == []
    assert len(seen) == 2


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_serving(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = train_model(tmp_path), train_model(tmp_path, word="bangang", label="harassment")
    promote(engine, first)
    kept = tmp_path / "kept"
    shutil.copytree(second.path, kept)
    (second.path / "model.skops").write_bytes(b"cut short")
    with served(engine) as backend:
        before = backend.version()
        promote(engine, second)
        until(lambda: "cannot be loaded" in caplog.text, "the trouble is said")
        for _ in range(20):
            assert choices(backend.predict([task("cerita lucah lagi")])[0]) == ["porn"]
        assert backend.version() == before
        # it is tried again and again, and said once
        shutil.copytree(kept, second.path, dirs_exist_ok=True)
        until(lambda: second.model.manifest.version in backend.version(), "the mended one serves")
    assert len([line for line in caplog.messages if "cannot be loaded" in line]) == 1


def test_a_champion_that_steps_down_leaves_the_ledger(engine: Engine, tmp_path: Path) -> None:
    promote(engine, train_model(tmp_path))
    with served(engine) as backend:
        with open_session(engine) as session, session.begin():
            champion = registry.champion(session, "sfw")
            assert champion is not None
            session.delete(champion)
        until(lambda: "ledger" in backend.version(), "nobody serves")
        assert choices(backend.predict([task("cerita lucah lagi")])[0]) == []


def test_with_the_store_away_the_champion_answers(
    engine: Engine, tmp_path: Path, shut: Callable[[bool], None], caplog: pytest.LogCaptureFixture
) -> None:
    promote(engine, train_model(tmp_path))
    add_text(engine, "cerita lucah yang dikenali", "hate")
    push_task(engine, add_text(engine, "cerita lucah yang buta"), blind=True)
    tasks = [
        task("cerita lucah yang dikenali"),
        task("cerita lucah yang buta", batch="b", why=""),
        task("cerita lucah lain", batch="b", why="porn: classifier 0.99"),
    ]
    with served(engine) as backend:
        version = backend.version()
        assert [choices(one) for one in backend.predict(tasks)] == [["hate", "porn"], [], ["porn"]]
        shut(True)
        until(lambda: store_is(backend) == "unreachable", "the store is missed")
        away = backend.predict(tasks)
        # a blind task is still told by how it looks
        assert [choices(one) for one in away] == [["porn"], [], ["porn"]]
        assert {one["model_version"] for one in away} == {version} == {backend.version()}
        with backend.client() as client:
            assert client.get("/versions").json() == {"versions": [version]}
        shut(False)
        until(lambda: store_is(backend) == "ok", "the store is back")
        assert choices(backend.predict(tasks)[0]) == ["hate", "porn"]
    assert len([line for line in caplog.messages if "store cannot be read" in line]) == 1


def test_a_store_that_fails_within_a_request_costs_nothing(
    engine: Engine, tmp_path: Path, shut: Callable[[bool], None]
) -> None:
    promote(engine, train_model(tmp_path))
    # so rarely looked at that the backend does not know yet
    with served(engine, limits=Limits(poll=3600)) as backend:
        shut(True)
        assert choices(backend.predict([task("cerita lucah lagi")])[0]) == ["porn"]
        shut(False)


def test_it_starts_without_a_store(tmp_path: Path) -> None:
    away = make_engine(f"postgresql://nobody@/none?host={tmp_path}")
    with served(away) as backend:
        assert store_is(backend) == "unreachable"
        [prediction] = backend.predict([task("cerita lucah lagi")])
        assert prediction["result"] == []
        assert prediction["model_version"] == backend.version()
    away.dispose()
