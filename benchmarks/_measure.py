"""Shared parts of the benchmarks: a temporary store, the memory of a call, and JSON lines on standard output."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import Engine

from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.store.migrate import upgrade
from pipeline.texts.labelled_files import clean
from saring.services import ensure_database, service_status, stop_services

_ROOT = Path(__file__).resolve().parents[1]
_INTERVAL = 0.1


@dataclass(slots=True)
class Measured:
    """Cost of a call. Filled in when the block ends; memory in megabytes (MiB)."""

    seconds: float = 0.0
    #: resident memory of this process and all it started, at its highest
    peak_rss_mb: float = 0.0
    #: the same with the embedded PostgreSQL, its shared pages counted once (proportional set size)
    peak_with_postgres_mb: float = 0.0


def shared_data() -> Path:
    """The shared reference data: `SARING_SHARED`, or `../shared` beside the repository."""
    return Path(os.environ.get("SARING_SHARED") or _ROOT.parent / "shared") / "data"


@contextmanager
def temporary_store() -> Iterator[tuple[Engine, int]]:
    """An empty store on an embedded PostgreSQL with its own settings, and the process id of that server."""
    home = Path(tempfile.mkdtemp(prefix="saring-bench-"))
    settings = Settings(home=home)
    try:
        engine = make_engine(ensure_database(settings))
        upgrade(engine)
        [pid] = [status.pid for status in service_status(settings) if status.name == "PostgreSQL" and status.pid]
        yield engine, pid
        engine.dispose()
    finally:
        stop_services(settings)
        shutil.rmtree(home)


@contextmanager
def measured(postgres: int | None = None, *, proportional: bool = False) -> Iterator[Measured]:
    """Time a block, and watch the memory of this process's tree and of the server with the id `postgres`.

    Args:
        postgres: process id of the server; None: there is none.
        proportional: count memory that processes share once, which takes longer to ask for.
    """
    figures = Measured()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(figures, postgres, proportional, ended), daemon=True)
    watcher.start()
    start = time.perf_counter()
    try:
        yield figures
    finally:
        figures.seconds = time.perf_counter() - start
        ended.set()
        watcher.join()


def _watch(figures: Measured, postgres: int | None, proportional: bool, ended: threading.Event) -> None:
    while True:
        ours = _tree(os.getpid(), _proportional if proportional else lambda process: process.memory_info().rss)
        figures.peak_rss_mb = max(figures.peak_rss_mb, ours)
        if postgres is not None:
            server = _tree(postgres, _proportional)
            figures.peak_with_postgres_mb = max(figures.peak_with_postgres_mb, ours + server)
        if ended.wait(_INTERVAL):
            return


def _tree(pid: int, size: Callable[[psutil.Process], int]) -> float:
    total = 0
    with suppress(psutil.Error):  # Processes may end meanwhile.
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                total += size(process)
    return total / (1 << 20)


def _proportional(process: psutil.Process) -> int:
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.uss))


def emit(benchmark: str, figures: Mapping[str, object]) -> None:
    """Print one JSON line."""
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": benchmark, **rounded}, ensure_ascii=False), flush=True)


def require(paths: Sequence[Path]) -> None:
    """Stop with one line if a file is missing."""
    for path in paths:
        if not path.exists():
            raise SystemExit(f"{path}: no such file; set SARING_SHARED to the shared data, or name a file")


def answers_to(name: str, label: str, most: int | None = None) -> dict[str, bool]:
    """The distinct texts of a shared set that answer a label, repaired and masked, and their answers.

    Args:
        name: of the set.
        label: key of the label.
        most: texts to read; None: all.
    """
    path = shared_data() / f"{name}.jsonl.gz"
    require([path])
    seen: dict[str, bool] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if label in row["labels"] or label in row["not_labels"]:
                seen.setdefault(clean(row["text"]), label in row["labels"])
            if len(seen) == most:
                break
    return seen
