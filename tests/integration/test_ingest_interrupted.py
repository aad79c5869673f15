"""Ingest stopped half-way, helped and done at once: the same store in the end."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, func, select, text

from pipeline import store
from pipeline.errors import InputError
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from pipeline.store.tables.core import RunState
from pipeline.texts.ingest import IngestReport
from tests.support.rows import accounted, as_jsonl, contents, corpus, jsonl, last_run, take

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def second(empty_database_url: str) -> Iterator[Engine]:
    """Another store, empty as the first."""
    engine = make_engine(empty_database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


def test_what_was_read_before_a_bad_file_stays_and_the_rest_follows_once_it_is_mended(
    engine: Engine, second: Engine, tmp_path: Path
) -> None:
    good = jsonl(tmp_path / "a.jsonl", corpus(300, seed=1))
    bad, later = tmp_path / "b.jsonl.gz", jsonl(tmp_path / "c.jsonl", corpus(300, seed=3))
    whole = gzip.compress(as_jsonl(corpus(9_000, seed=2)))
    bad.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(InputError, match="damaged or incomplete"):
        take(engine, good, bad, later)
    assert 5_000 < last_run(engine).counts["rows"] < 9_300
    bad.write_bytes(whole)
    resumed = take(engine, good, bad, later)
    clean = take(second, good, bad, later)
    assert contents(engine) == contents(second)
    assert (resumed.rows, resumed.new, resumed.rejected) == (clean.rows, clean.new, clean.rejected)


def test_two_sources_with_the_same_texts_can_be_read_at_once(engine: Engine, tmp_path: Path) -> None:
    rows = [row for row in corpus(6_000, seed=7) if "text" in row]
    paths = [jsonl(tmp_path / f"{name}.jsonl", rows) for name in ("satu", "dua")]
    reports: list[IngestReport] = []
    threads = [
        threading.Thread(target=lambda path=path: reports.append(take(engine, path, source=path.stem)))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = contents(engine)
    assert len(reports) == 2
    assert sum(report.new + report.near_duplicates for report in reports) == len(found["text"])
    one, other = ([row[1:] for row in found["text_source"] if row[0] == name] for name in ("satu", "dua"))
    assert one == other


def test_the_number_of_processes_changes_nothing_in_the_store(engine: Engine, second: Engine, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", corpus(9_000, seed=8))
    alone, helped = take(engine, path, workers=0), take(second, path, workers=2)
    assert contents(engine) == contents(second)
    assert (alone.rejected, alone.languages, alone.new) == (helped.rejected, helped.languages, helped.new)


def test_a_worker_that_is_killed_is_named_and_the_same_call_goes_on(
    engine: Engine, second: Engine, tmp_path: Path
) -> None:
    path = jsonl(tmp_path / "a.jsonl", corpus(12_000, seed=9))

    def kill_workers(done: int, total: int | None, what: str, figures: str = "") -> None:
        for child in psutil.Process().children():
            if any("spawn_main" in part for part in child.cmdline()):
                child.kill()

    with pytest.raises(InputError, match="worker process was killed"):
        take(engine, path, workers=1, progress=kill_workers)
    assert 0 < last_run(engine).counts["rows"] < 12_000
    take(engine, path, workers=1)
    take(second, path, workers=1)
    assert contents(engine) == contents(second)


_INGEST = """
import sys
from pathlib import Path
from pipeline.texts.ingest import SourceInfo, ingest
from pipeline.store import make_engine

if __name__ == "__main__":
    path, rejects = sys.argv[1:]
    engine = make_engine(sys.stdin.read())
    ingest(engine, [path], SourceInfo("sumber"), workers=1, rejects_dir=Path(rejects))
"""


def test_killed_half_way_and_run_again_it_ends_in_the_same_store(
    engine: Engine, second: Engine, tmp_path: Path, environment: dict[str, str]
) -> None:
    path = jsonl(tmp_path / "a.jsonl", corpus(12_000, seed=10))
    script = tmp_path / "run.py"
    script.write_text(_INGEST)
    command = [sys.executable, str(script), str(path), str(tmp_path / "interrupted")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=_ROOT, env=environment)
    assert process.stdin is not None
    process.stdin.write(environment["SARING_DATABASE_URL"].encode())
    process.stdin.close()
    with open_session(engine) as session:
        while session.execute(select(func.count()).select_from(store.TextSource)).scalar_one() == 0:
            assert process.poll() is None
            session.rollback()
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with engine.connect() as connection:  # until the server has noticed
        alone = text("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()")
        while not connection.execute(alone).scalar_one():
            connection.rollback()
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    interrupted = last_run(engine)
    assert interrupted.state is RunState.RUNNING
    assert 0 < interrupted.counts["rows"] < 12_000

    resumed = take(engine, path, workers=1, rejects_dir=tmp_path / "interrupted")
    clean = take(second, path, workers=1, rejects_dir=tmp_path / "clean")
    assert contents(engine) == contents(second)
    assert resumed.rows == accounted(resumed) == 12_000
    assert (resumed.new, resumed.near_duplicates, resumed.exact_duplicates) == (
        clean.new,
        clean.near_duplicates,
        clean.exact_duplicates,
    )
    assert resumed.rejected == clean.rejected

    def rejects(folder: Path) -> set[bytes]:
        return {line for file in folder.iterdir() for line in file.read_bytes().splitlines()}

    assert rejects(tmp_path / "interrupted") == rejects(tmp_path / "clean")
