"""Cost of a stage on workers.

Prints JSON lines:

- `overhead`: shards that do nothing, from opening their run to its end, beside as many plain Celery tasks that do
  nothing, in a chord as ours and alone, on the same broker with the same settings and one process. A new process each,
  warmed up. The target is less than 5 ms a task of our own.
- `shard`: the same without Celery, in this process: statements, commits and connections of a shard that does nothing.
- `memory`: of the process that carries out real shards (the bootstrap rater, each a few texts), by how many it did.
- `filter`: the centroid filter by one statement in one process, and in shards through two processes, on random vectors
  (see `centroid.py`). Both must come to the same decisions.

    python benchmarks/workers.py [--tasks 1000] [--filter 1000000] [--only overhead shard memory filter]
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _measure import emit
from _worker import NOTHING, Idle
from _working import Home, Sent, children, machine, send, temporary_home, wait, worker
from celery import chord
from celery.result import AsyncResult
from centroid import load, make_data
from sqlalchemy import Engine, event, text

from pipeline.filters.centroid_stage import CentroidParams, CentroidStage
from pipeline.progress import silent
from pipeline.raters.judge import JudgeParams, JudgeStage
from pipeline.runs.book import open_run
from pipeline.runs.executor import run
from pipeline.runs.shard import finish_run, run_shard
from pipeline.texts.ingest import SourceInfo, ingest
from saring.context import Context
from saring.demo import plant

PARTS = ("overhead", "shard", "memory", "filter")
_WARM = 20
_SECONDS_A_STEP = 0.05
#: shards after which memory is reported
_MARKS = (100, 500, 1_000)
_TIMEOUT_SECONDS = 300
_POLL_SECONDS = 0.02
_DIMENSION = 384


# ---- what a task costs


def overhead(home: Home, tasks: int) -> None:
    """Shards that do nothing, and Celery tasks that do."""
    plain = [_timed(home, lambda: _tasks(home, tasks)) for _ in range(2)]
    in_chord = _timed(home, lambda: _in_chord(home, tasks))
    sent: list[Sent] = []
    ours = _timed(home, lambda: sent.append(_shards(home, tasks)))
    for what, seconds in (("plain tasks", min(plain)), ("plain tasks in a chord", in_chord), ("shards", ours)):
        emit("workers", {"what": "overhead", "way": what, "tasks": tasks, "ms_a_task": 1_000 * seconds / tasks})
    emit(
        "workers",
        {
            "what": "overhead",
            "way": "difference",
            "our_own_ms_a_task": 1_000 * (ours - min(plain)) / tasks,
            "beside_a_chord_ms_a_task": 1_000 * (ours - in_chord) / tasks,
            "opening_ms_a_task": 1_000 * sent[-1].open_seconds / tasks,
            "sending_ms_a_task": 1_000 * sent[-1].send_seconds / tasks,
            "target_ms_a_task": 5.0,
            **machine(),
        },
    )


def _timed(home: Home, work: Any) -> float:
    """Seconds of work by a new worker with one process, which has warmed up."""
    with worker(home, 1):
        _shards(home, _WARM)
        _tasks(home, _WARM)
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def _shards(home: Home, count: int) -> Sent:
    sent = send(home, Idle(), {"shards": count, "nonce": time.time_ns()})
    wait(home, sent.run_id)
    return sent


def _tasks(home: Home, count: int) -> None:
    nothing = home.app.signature(NOTHING, queue="cpu")
    for _ in range(count - 1):
        nothing.apply_async()
    # First in, first out: when the last task has answered, all are done.
    _await(nothing.set(ignore_result=False).apply_async())


def _in_chord(home: Home, count: int) -> None:
    nothing = home.app.signature(NOTHING, queue="cpu").set(ignore_result=False)
    _await(chord([nothing.clone() for _ in range(count)], nothing.clone(), app=home.app).apply_async())


def _await(result: AsyncResult) -> None:
    """Ask until it is there: what Celery publishes of a result may pass by whoever listens."""
    ended = time.monotonic() + _TIMEOUT_SECONDS
    while not result.ready():
        if time.monotonic() > ended:
            raise SystemExit("the tasks did not end")
        time.sleep(_POLL_SECONDS)


# ---- what a shard asks of the store


def shard(home: Home, tasks: int) -> None:
    """Shards that do nothing, carried out in this process."""
    ctx, idle = home.context, Idle()
    stages = {idle.name: idle}
    run_id, numbers = open_run(
        ctx.engine, idle.name, idle.plan(ctx, {"shards": tasks + _WARM, "nonce": time.time_ns()})
    )
    for number in numbers[:_WARM]:
        run_shard(ctx, stages, run_id, number)
    with counted(ctx.engine) as counts:
        start, before = time.perf_counter(), time.process_time()
        for number in numbers[_WARM:]:
            run_shard(ctx, stages, run_id, number)
        seconds, busy = time.perf_counter() - start, time.process_time() - before
    start = time.perf_counter()
    finish_run(ctx, stages, run_id)
    emit(
        "workers",
        {
            "what": "shard",
            "shards": tasks,
            "ms_a_shard": 1_000 * seconds / tasks,
            "cpu_ms_a_shard": 1_000 * busy / tasks,
            **{f"{name}_a_shard": count / tasks for name, count in sorted(counts.items())},
            "put_together_ms": 1_000 * (time.perf_counter() - start),
            "a_commit_ms": 1_000 * _commit_seconds(ctx.engine),
            **machine(),
        },
    )


@contextmanager
def counted(engine: Engine) -> Iterator[Counter[str]]:
    """Count what is asked of a store."""
    counts: Counter[str] = Counter()
    heard = {
        "before_cursor_execute": "statements",
        "commit": "commits",
        "rollback": "rollbacks",
        "checkout": "checkouts",
        "connect": "connections",
    }

    def listener(name: str) -> Any:
        def listen(*_: object) -> None:
            counts[name] += 1

        return listen

    listeners = [
        (engine.pool if on in ("checkout", "connect") else engine, on, listener(name)) for on, name in heard.items()
    ]
    for target, on, listen in listeners:
        event.listen(target, on, listen)
    try:
        yield counts
    finally:
        for target, on, listen in listeners:
            event.remove(target, on, listen)


def _commit_seconds(engine: Engine, times: int = 50) -> float:
    """Seconds of a transaction that changes one row: no shard takes less than its commits."""
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS benchmark_commit (n int)"))
        connection.execute(text("INSERT INTO benchmark_commit VALUES (0)"))
        connection.commit()
        start = time.perf_counter()
        for _ in range(times):
            connection.execute(text("UPDATE benchmark_commit SET n = n + 1"))
            connection.commit()
        seconds = (time.perf_counter() - start) / times
        connection.execute(text("DROP TABLE benchmark_commit"))
        connection.commit()
    return seconds


# ---- memory


def memory(home: Home, tasks: int) -> None:
    """Resident memory of the process that carries out real shards."""
    _corpus(home)
    with worker(home, 1) as process:
        # The first shard loads the encoder.
        _shards(home, 1)
        [child] = children(process)
        before = _megabytes(child)
        # One text a shard, so that the number of shards is the number of texts.
        stage = JudgeStage(shard_texts=1)
        with home.context.engine.connect() as connection:
            texts = connection.execute(text("SELECT count(*) FROM text WHERE in_scope AND duplicate_of IS NULL"))
            count = int(texts.scalar_one())
        sent = send(home, stage, JudgeParams("bootstrap", min(count, tasks)))
        samples = list(_watched(home, sent.run_id, child))
        wait(home, sent.run_id)
    emit(
        "workers",
        {
            "what": "memory",
            "stage": stage.name,
            "shards": samples[-1][0],
            "same_process": child.pid == samples[-1][2],
            "rss_mb_before": before,
            **{f"rss_mb_after_{mark}": _at(samples, mark) for mark in _MARKS if mark <= samples[-1][0]},
            "slope_mb_per_1000_shards": _slope(samples),
            **machine(),
        },
    )


def _corpus(home: Home) -> None:
    lines = sorted(Path(plant.__file__).with_name("corpus").glob("*.jsonl"))
    ingest(home.context.engine, [str(path) for path in lines], SourceInfo("corpus"), workers=0, progress=silent)


def _watched(home: Home, run_id: int, child: psutil.Process) -> Iterator[tuple[int, float, int]]:
    """Shards done, memory and process id, until the run ends."""
    query = text("""
        SELECT r.state <> 'running', (SELECT count(*) FROM shard s WHERE s.run_id = r.id AND s.state = 'done')
        FROM run r WHERE r.id = :run
    """)
    while True:
        with home.context.engine.connect() as connection:
            is_over, finished = connection.execute(query, {"run": run_id}).one()
        yield int(finished), _megabytes(child), child.pid
        if is_over:
            return
        time.sleep(_SECONDS_A_STEP)


def _megabytes(process: psutil.Process) -> float:
    return process.memory_info().rss / (1 << 20)


def _at(samples: Sequence[tuple[int, float, int]], mark: int) -> float:
    return next(rss for count, rss, _ in samples if count >= mark)


def _slope(samples: Sequence[tuple[int, float, int]]) -> float | None:
    """By least squares, from the first mark on: before it, what is loaded once comes in."""
    chosen = np.array([(count, rss) for count, rss, _ in samples if count >= _MARKS[0]])
    if len(np.unique(chosen[:, 0])) < 3:
        return None
    return 1_000 * float(np.polyfit(chosen[:, 0], chosen[:, 1], 1)[0])


# ---- the centroid filter


def filtered(home: Home, rows: int) -> None:
    """One statement and shards, on the same vectors."""
    ctx = home.context
    start = time.perf_counter()
    data = make_data(rows, _DIMENSION, len(ctx.taxonomy.keys))
    load(ctx.engine, data, ctx.taxonomy)
    del data
    emit("workers", {"what": "filter", "way": "loading", "rows": rows, "seconds": time.perf_counter() - start})
    start = time.perf_counter()
    report = run(CentroidStage(), ctx, CentroidParams(encoder="random"))
    alone = time.perf_counter() - start
    decided = _decisions(ctx)
    _emit_filtered("one statement, one process", rows, alone, report.kept, decided)
    with ctx.engine.connect() as connection:
        connection.execute(text("TRUNCATE filter_decision, review"))
        connection.commit()
    _settle(ctx.engine)
    with worker(home, 2):
        _shards(home, _WARM)
        start = time.perf_counter()
        sent = send(home, CentroidStage(), CentroidParams(encoder="random"))
        ended_run = wait(home, sent.run_id)
        spread = time.perf_counter() - start
    assert ended_run.result is not None
    kept = sum(label["kept"] for label in ended_run.result["labels"])
    spread_decided = _decisions(ctx)
    _emit_filtered(
        "shards, two processes", rows, spread, kept, spread_decided, shards=ended_run.shards, plan_s=sent.plan_seconds
    )
    assert (kept, spread_decided) == (report.kept, decided), "the two ways decided differently"
    emit("workers", {"what": "filter", "same_decisions": True, "times_as_fast": alone / spread, **machine()})


def _emit_filtered(way: str, rows: int, seconds: float, kept: int, decided: tuple[int, str], **more: object) -> None:
    count, digest = decided
    figures = {"seconds": seconds, "rows_per_s": rows / seconds, "kept": kept, "decisions": count, "hash": digest}
    emit("workers", {"what": "filter", "way": way, "rows": rows, **figures, **more})


def _decisions(ctx: Context) -> tuple[int, str]:
    """The number of decisions, and a hash of all of them."""
    digest, count = hashlib.blake2b(digest_size=8), 0
    raw: Any = ctx.engine.raw_connection()
    try:
        query = """
            COPY (
                SELECT stage, label, text_id, kept, score, cut, reason FROM filter_decision
                ORDER BY stage, label COLLATE "C", text_id
            ) TO STDOUT
        """
        with raw.cursor() as cursor, cursor.copy(query) as rows:
            for row in rows:
                digest.update(row)
                count += bytes(row).count(b"\n")
    finally:
        raw.close()
    return count, digest.hexdigest()


def _settle(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CHECKPOINT"))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--filter", type=int, default=1_000_000, metavar="ROWS", help="vectors to filter; 0: none")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    with temporary_home() as home:
        if "overhead" in options.only:
            overhead(home, options.tasks)
        if "shard" in options.only:
            shard(home, options.tasks)
        if "memory" in options.only:
            memory(home, options.tasks)
    if "filter" in options.only and options.filter:
        with temporary_home() as home:
            filtered(home, options.filter)


if __name__ == "__main__":
    main()
