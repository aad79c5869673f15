"""A full retraining from the ledger, on all labelled sets of the shared data: the target is under 5 minutes on 2 cores.

Each set is imported in the name of a rater of its own. One set is kept back and comes in after the first training, as
people's labels do, so that the second trains on other rows than the first, and its model is held against the first's:
the paired bootstrap over every label and language is part of it. Beside it, in the same process, what training alone
takes: `pipeline.learning.train` on the same rows, and scikit-learn's tf-idf and logistic regression on its training
split (fit alone).

Prints JSON lines; memory is that of this process and its children.

    python benchmarks/retrain.py [--limit ROWS] [--without-sklearn]
"""

from __future__ import annotations

import argparse
import gzip
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _measure import emit, measured, require, shared_data, temporary_store
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from sqlalchemy import Engine

from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning import retrain as retraining
from pipeline.learning.retrain import Retrained, retrain
from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.sets.snapshot import SnapshotPolicy
from pipeline.learning.sets.split import plan_splits
from pipeline.learning.train import TrainConfig, train
from pipeline.measure.arrays import UNKNOWN
from pipeline.models.artefact import load_model
from pipeline.raters.imported import import_labelled
from pipeline.raters.mapping import load_mapping
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.ingest import SourceInfo

#: set that is imported after the first training
KEPT_BACK = "openai_mod_en"
TARGET_SECONDS = 300
_CORES = 2
#: steps of a retraining, by the name of the function
_STEPS = ("take_snapshot", "gather", "train", "_opponent", "compare_with_champion", "write_gate")


def bring_in(engine: Engine, taxonomy: Taxonomy, paths: Sequence[Path], limit: int | None) -> None:
    """Import labelled sets, each in the name of a rater of its own."""
    rows: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder, measured() as took:
        for path in paths:
            name = path.name.split(".")[0]
            report = import_labelled(
                engine,
                [str(path if limit is None else _beginning(path, Path(folder), limit))],
                SourceInfo(name),
                load_mapping(None, taxonomy, "labels"),
                RaterRef(RaterKind.EXTERNAL, name),
            )
            rows["rows"] += report.texts.rows
            rows["texts"] += report.texts.new
            rows["judgements"] += report.judgements.new
    emit("retrain", {"what": "import", "sets": len(paths), **rows, **_cost(took.seconds, took.peak_rss_mb)})


def _beginning(path: Path, folder: Path, limit: int) -> Path:
    beginning = folder / path.name.removesuffix(".gz")
    with gzip.open(path, "rb") as lines, beginning.open("wb") as out:
        out.writelines(islice(lines, limit))
    return beginning


def once(engine: Engine, taxonomy: Taxonomy, config: TrainConfig, folder: Path, what: str) -> Retrained:
    """Retrain as `saring train` does, and report what each part took."""
    begun: dict[str, float] = {}

    def note(count: int, total: int | None, step: str, figures: str = "") -> None:  # noqa: ARG001
        begun.setdefault(step.partition(" ")[0], time.perf_counter())

    load_before = os.getloadavg()[0]
    with timed(retraining, _STEPS) as seconds, measured() as took:
        retrained = retrain(
            engine,
            taxonomy,
            config,
            SnapshotPolicy(),
            models_dir=folder / "models",
            snapshots_dir=folder / "snapshots",
            load=load_model,
            progress=note,
        )
    inside = {
        f"{first}_s": begun[second] - begun[first]
        for first, second in pairwise(("splitting", "training", "calibrating", "evaluating", "comparing"))
        if first in begun and second in begun
    }
    macro = retrained.report.evaluation.overall.macro_average_precision
    paired = retrained.gate.paired
    emit(
        "retrain",
        {
            "what": what,
            "texts": len(retrained.snapshot.rows),
            "splits": dict(retrained.report.splits),
            "labels": len(retrained.report.model.labels),
            **_cost(took.seconds, took.peak_rss_mb),
            "target_seconds": TARGET_SECONDS,
            **{f"{name.strip('_')}_s": value for name, value in seconds.items()},
            **inside,
            "compared": paired is not None,
            "compared_on": retrained.gate.rows.texts,
            "macro_average_precision": [round(number, 4) for number in (macro.value, macro.low, macro.high)],
            "promoted": retrained.promoted,
            "verdict": retrained.verdict,
            "cores": os.cpu_count(),
            "load_before": load_before,
        },
    )
    return retrained


@contextmanager
def timed(module: Any, names: Sequence[str]) -> Iterator[dict[str, float]]:
    """Time what a module calls by these names."""
    seconds: dict[str, float] = {}
    before = {name: getattr(module, name) for name in names}

    def wrapped(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return step(*args, **kwargs)
            finally:
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start

        return run

    for name, step in before.items():
        setattr(module, name, wrapped(name, step))
    try:
        yield seconds
    finally:
        for name, step in before.items():
            setattr(module, name, step)


def alone(examples: Examples, config: TrainConfig, *, sklearn: bool) -> None:
    """Measure training alone on the same rows."""
    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder, measured() as took:
        train(examples, config, Path(folder))
    emit("retrain", {"what": "training alone", "texts": len(examples), **_cost(took.seconds, took.peak_rss_mb)})
    if not sklearn:
        return
    some = examples.take(plan_splits(examples, seed=config.seed).train)
    columns = [column for column in some.truth.T if {0, 1} <= set(column.tolist())]
    with measured() as took:
        features = FeatureUnion(
            [
                ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5))),
                ("words", TfidfVectorizer()),
            ]
        ).fit_transform(some.texts)
        Parallel(n_jobs=_CORES, backend="threading")(delayed(_fit)(features, column) for column in columns)
    cost = _cost(took.seconds, took.peak_rss_mb)
    emit("retrain", {"what": "scikit-learn, fit alone", "texts": len(some), "labels": len(columns), **cost})


def _fit(features: csr_matrix, column: NDArray[np.int8]) -> None:
    known = column != UNKNOWN
    LogisticRegression(solver="liblinear").fit(features[known], column[known])


def _cost(seconds: float, peak: float) -> dict[str, float]:
    return {"seconds": seconds, "peak_rss_mb": peak}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="rows of each file; default: all")
    parser.add_argument("--without-sklearn", action="store_true")
    options = parser.parse_args()
    paths = [path for path in sorted(shared_data().glob("*.jsonl.gz")) if path.name != "raw_stream.jsonl.gz"]
    require(paths or [shared_data()])
    later = [path for path in paths if path.name.startswith(f"{KEPT_BACK}.")]
    taxonomy = load_taxonomy()
    config = TrainConfig(taxonomy_version=taxonomy.version)
    with temporary_store() as (engine, _), tempfile.TemporaryDirectory(prefix="saring-bench-") as folder:
        bring_in(engine, taxonomy, [path for path in paths if path not in later], options.limit)
        once(engine, taxonomy, config, Path(folder), "first retraining")
        bring_in(engine, taxonomy, later, options.limit)
        retrained = once(engine, taxonomy, config, Path(folder), "second retraining, compared with the champion")
        rows = retrained.snapshot.rows
    alone(gather(rows, taxonomy.keys), config, sklearn=not options.without_sklearn)
    # joblib would wait for its workers until they are idle for minutes, so they are stopped.
    get_reusable_executor().shutdown()


if __name__ == "__main__":
    main()
