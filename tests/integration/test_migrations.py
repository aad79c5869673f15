"""The schema: made from nothing, brought up to date, and checked before anything works on it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert, inspect, make_url, select, text

from pipeline import store
from pipeline.errors import StoreNotReady, StoreUnavailable
from pipeline.store import make_engine, open_session
from pipeline.store.glance import MIGRATIONS, head
from pipeline.store.migrate import current_and_head, drift, require_head, upgrade
from pipeline.store.overview import count_rows, size_bytes
from pipeline.vectors.table import register_encoder

_ROOT = Path(__file__).resolve().parents[2]
_UPGRADE = """
import sys
from pipeline.store import make_engine
from pipeline.store.migrate import require_head, upgrade
engine = make_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
upgrade(engine)
require_head(engine)
"""


class _Encoder:
    name = "it's a 100%: \\ name"
    dimension = 3

    def encode(self, texts: object) -> np.ndarray:
        raise AssertionError(texts)


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    """An engine on a database without a schema."""
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_migrations_make_what_the_models_say(empty: Engine) -> None:
    upgrade(empty)
    assert drift(empty) == []
    require_head(empty)
    current, head = current_and_head(empty)
    assert current == head


def test_a_new_store_is_empty_and_says_how_large_it_is(empty: Engine) -> None:
    upgrade(empty)
    with open_session(empty) as session:
        counts = count_rows(session)
        assert {"text", "judgement", "text_vector", "model"} <= set(counts)
        assert set(counts.values()) == {0}
        assert size_bytes(session) > 0


def test_the_newest_migration_is_the_one_that_alembic_goes_to() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [head()]


def test_upgrading_again_changes_nothing(empty: Engine) -> None:
    upgrade(empty)
    with open_session(empty) as session, session.begin():
        session.add(store.Source(name="corpus"))
    upgrade(empty)
    assert drift(empty) == []
    with open_session(empty) as session:
        assert session.scalars(select(store.Source.name)).all() == ["corpus"]


def test_any_number_of_processes_may_upgrade_at_once(empty: Engine, empty_database_url: str) -> None:
    command = [sys.executable, "-c", _UPGRADE, empty_database_url]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, cwd=_ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(3)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        _, complaint = process.communicate()
        assert process.returncode == 0, complaint
    require_head(empty)
    assert drift(empty) == []


def test_an_upgrade_lets_go_of_its_lock(empty: Engine) -> None:
    upgrade(empty)
    with empty.connect() as connection:
        held = connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
    assert held == 0


def test_the_vectors_of_a_new_encoder_are_not_drift(empty: Engine) -> None:
    upgrade(empty)
    with open_session(empty) as session, session.begin():
        register_encoder(session, _Encoder())
        register_encoder(session, _Encoder())
        row = {"encoder": _Encoder.name, "text_id": "0" * 32, "embedding": [1, 0, 0]}
        session.execute(insert(store.Vector).values(row))
    assert any(name.startswith("text_vector_p_") for name in inspect(empty).get_table_names())
    assert drift(empty) == []


def test_a_database_without_a_schema_is_told_to_be_given_one(empty: Engine) -> None:
    with pytest.raises(StoreNotReady) as error:
        require_head(empty)
    assert one_line(error) == "the database has no schema yet: run `saring init`"


def test_a_database_of_another_schema_is_told_which_it_has(engine: Engine) -> None:
    _, head = current_and_head(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreNotReady) as error:
        require_head(engine)
    assert one_line(error) == f"the database has schema 0000, this version needs {head}: run `saring init`"


def test_drift_is_noticed(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE text DROP COLUMN language_score"))
    assert "language_score" in str(drift(engine))


def test_one_champion_a_purpose_is_held_by_the_database(engine: Engine) -> None:
    columns = "(version, purpose, backend, state, labels, thresholds, metrics, artefact_hash, path, taxonomy_version)"
    add = text(f"INSERT INTO model {columns} VALUES (:v, :p, 'linear', :s, '{{}}', '{{}}', '{{}}', '', '', '')")
    with engine.begin() as connection:
        connection.execute(add, {"v": "1", "p": "sfw", "s": "champion"})
        connection.execute(add, {"v": "2", "p": "sfw", "s": "candidate"})
        connection.execute(add, {"v": "3", "p": "sentiment", "s": "champion"})
    with pytest.raises(Exception, match="uq_model_champion"), engine.begin() as connection:
        connection.execute(text("UPDATE model SET state = 'champion' WHERE version = '2'"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nothing answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_database_that_is_down_is_told_of_in_one_line(closed_port: int) -> None:
    engine = make_engine(f"postgresql://me:hunter2@127.0.0.1:{closed_port}/none")
    with pytest.raises(StoreUnavailable) as error, open_session(engine) as session:
        session.execute(text("SELECT 1"))
    said = one_line(error)
    assert "cannot be reached" in said
    assert "`saring up`" in said
    assert "hunter2" not in said


def test_a_check_of_a_database_that_is_down_is_told_of_in_one_line(closed_port: int) -> None:
    engine = make_engine(f"postgresql://me@127.0.0.1:{closed_port}/none")
    with pytest.raises(StoreUnavailable) as error:
        require_head(engine)
    assert "cannot be reached" in one_line(error)
    with pytest.raises(StoreUnavailable) as error:
        upgrade(engine)
    assert "cannot be reached" in one_line(error)


def test_a_database_that_does_not_exist_is_told_of_in_one_line(server_url: str) -> None:
    missing = make_url(server_url).set(database="no such").render_as_string(hide_password=False)
    with pytest.raises(StoreUnavailable) as error, open_session(make_engine(missing)) as session:
        session.execute(text("SELECT 1"))
    assert '"no such" does not exist' in one_line(error)


def test_a_database_that_goes_away_in_the_middle_is_told_of_and_its_work_is_undone(engine: Engine) -> None:
    with pytest.raises(StoreUnavailable) as error, open_session(engine) as session:
        session.add(store.Source(name="corpus"))
        session.flush()
        backend = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with engine.connect() as other:
            # the backend reads the order before its next statement
            other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": backend})
        session.execute(select(store.Source.name))
    assert "`saring up`" in one_line(error)
    with open_session(engine) as session:
        assert session.scalars(select(store.Source.name)).all() == []


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_addresses_may_be_written_as_other_programs_write_them(database_url: str, scheme: str) -> None:
    engine = make_engine(scheme + database_url[database_url.index("://") :])
    with open_session(engine) as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_work_that_is_not_committed_is_undone(engine: Engine) -> None:
    with open_session(engine) as session:
        session.add(store.Source(name="corpus"))
        session.flush()
    with open_session(engine) as session:
        assert session.scalars(select(store.Source)).all() == []
