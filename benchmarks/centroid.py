"""The centroid filter by similarity where the vectors lie, beside the notebook's way: JSON lines read into NumPy.

Both work on the same random clustered unit vectors (eleven labels, two clusters a label, one text in twenty misplaced).
`pass` is what the filter does on every vector (find what is asserted, compare, fetch the similarities, choose the
cuts); the sample and the prototypes before it, and the writing of the decisions after it, are given apart.
The notebook's way has one mean a label, Euclidean distances, and nothing written to a database.

    python benchmarks/centroid.py --rows 200000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _measure import emit, temporary_store
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from pipeline.filters import centroid, centroid_stage
from pipeline.filters.centroid_stage import CentroidParams, CentroidStage
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import rater_id
from pipeline.runs.executor import run as run_stage
from pipeline.settings import Settings
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.table import register_encoder
from saring.context import Context

_CHUNK = 10_000
_NAME = "random"
#: steps of the filter that look at every vector of every label
_PASS = ("find_asserted", "compare", "load_scores", "choose_cut")


@dataclass(frozen=True, slots=True)
class Space:
    """The attributes that `register_encoder` needs."""

    dimension: int
    name: str = _NAME

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Raise: only the name and the dimension are used."""
        raise TypeError(f"{self.name} has no model for {len(texts)} texts")


@dataclass(frozen=True, slots=True)
class Data:
    """Texts in order of id, each with one label and one vector."""

    ids: list[uuid.UUID]
    #: [n]
    labels: NDArray[np.int64]
    #: [n, d]
    vectors: Vectors


def make_data(rows: int, dimension: int, labels: int) -> Data:
    """Random clustered unit vectors."""
    rng = np.random.default_rng(0)
    centres = unit(np.asarray(rng.normal(size=(2 * labels, dimension)) + 1, dtype=np.float32))
    owner = rng.integers(0, labels, rows)
    place = np.where(rng.random(rows) < 0.05, rng.integers(0, labels, rows), owner)
    place = 2 * place + (rng.random(rows) < 0.3)
    vectors = np.empty((rows, dimension), np.float32)
    for start in range(0, rows, _CHUNK):
        part = centres[place[start : start + _CHUNK]]
        vectors[start : start + _CHUNK] = unit(part + 0.6 * unit(rng.normal(size=part.shape).astype(np.float32)))
    ids = sorted(uuid.UUID(bytes=hashlib.blake2b(b"%d" % i, digest_size=16).digest()) for i in range(rows))
    return Data(ids, owner, vectors)


def load(engine: Engine, data: Data, taxonomy: Taxonomy) -> None:
    """Put the data into the store as an ingest, a rater and an encoder would have."""
    with Session(engine) as session, session.begin():
        register_encoder(session, Space(data.vectors.shape[1]))
        rater = rater_id(session, RaterRef(RaterKind.LLM, "random"))
        raw: Any = session.connection().connection.driver_connection
        with raw.cursor() as cursor:
            with cursor.copy("COPY text (id, body, masked) FROM STDIN") as copy:
                for text_id in data.ids:
                    copy.write_row((text_id, "", ""))
            with cursor.copy("COPY judgement (rater_id, text_id, asserted, taxonomy_version) FROM STDIN") as copy:
                for text_id, label in zip(data.ids, data.labels.tolist(), strict=True):
                    copy.write_row((rater, text_id, [taxonomy.keys[label]], taxonomy.version))
            with cursor.copy("COPY text_vector (encoder, text_id, embedding) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["text", "uuid", "halfvec"])
                for text_id, vector in zip(data.ids, data.vectors, strict=True):
                    copy.write_row((_NAME, text_id, HalfVector(vector)))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def time_steps(names: Sequence[str], seconds: dict[str, float]) -> None:
    """Have the filter's steps add the time that they take to `seconds`."""

    def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return step(*args, **kwargs)
            finally:
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start

        return run

    for module in (centroid, centroid_stage):
        for name in names:
            if hasattr(module, name):
                setattr(module, name, timed(name, getattr(module, name)))


def in_the_database(engine: Engine, repeats: int) -> None:
    """Filter a few times, and report the first time (decisions are new) and the best of the others (they stand)."""
    home = Context(Settings(home=Path(os.devnull)))
    home.__dict__["engine"] = engine
    seconds: dict[str, float] = {}
    time_steps(("load_samples", "make_prototypes", *_PASS, "put_cuts", "decide", "draw_review"), seconds)
    runs = []
    for _ in range(repeats + 1):
        seconds.clear()
        start = time.perf_counter()
        report = run_stage(CentroidStage(), home, CentroidParams(encoder=_NAME, seed=0, by="similarity"))
        total = time.perf_counter() - start
        runs.append(
            {"pass_s": sum(seconds[name] for name in _PASS), "total_s": total}
            | {f"{name}_s": value for name, value in seconds.items()}
        )
    for run, figures in (("first", runs[0]), ("repeated", min(runs[1:], key=lambda run: run["pass_s"]))):
        emit("centroid", {"way": "database", "run": run, "kept": report.kept, "dropped": report.dropped, **figures})


def in_a_notebook(data: Data, taxonomy: Taxonomy) -> None:
    """Read vectors from JSON lines, take each label's mean and the Euclidean distance of its vectors to it."""
    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder:
        path = Path(folder) / "vectors.jsonl"
        with path.open("w") as lines:
            for label, vector in zip(data.labels.tolist(), data.vectors, strict=True):
                rounded = [round(value, 6) for value in vector.tolist()]
                lines.write(json.dumps({"label": taxonomy.keys[label], "v": rounded}) + "\n")
        start = time.perf_counter()
        by_label: dict[str, list[list[float]]] = {}
        with path.open() as lines:
            for line in lines:
                row = json.loads(line)
                by_label.setdefault(row["label"], []).append(row["v"])
        parsed = time.perf_counter()
        kept = 0
        for rows in by_label.values():
            vectors = np.array(rows)
            distances = np.linalg.norm(vectors - vectors.mean(axis=0), axis=1)
            kept += int((distances <= np.quantile(distances, 0.9)).sum())
        ended = time.perf_counter()
        size = path.stat().st_size
    figures = {"parse_s": parsed - start, "compare_s": ended - parsed, "total_s": ended - start}
    emit("centroid", {"way": "notebook", "file_mb": size / (1 << 20), "kept": kept, **figures})


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    taxonomy = load_taxonomy()
    data = make_data(given.rows, given.dimension, len(taxonomy.keys))
    load_1, cores = os.getloadavg()[0], os.cpu_count()
    emit(
        "centroid",
        {
            "rows": given.rows,
            "dimension": given.dimension,
            "labels": len(taxonomy.keys),
            "cores": cores,
            "load_before": load_1,
        },
    )
    with temporary_store() as (engine, _):
        load(engine, data, taxonomy)
        in_the_database(engine, given.repeats)
    in_a_notebook(data, taxonomy)


if __name__ == "__main__":
    main()
