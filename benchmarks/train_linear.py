"""Train and measure the linear classifier on every labelled set of the shared data, beside plain scikit-learn.

Four ways, each in a process of its own, are scored on the same held-out texts by the same code:

`saring`            `pipeline.learning.train` on all sources
`saring_no_weak`    the same without the sources whose labels are weak or very noisy
`sklearn_negative`  tf-idf of character 3- to 5-grams and of words, logistic regression (liblinear), one-vs-rest;
                    unknown is taken for "no": what one gets from a multi-label matrix without thinking about it
`sklearn_known`     the same, each label learnt from the texts where it is known

All of them learn from `train`; only ours looks at `dev`, for its calibration and thresholds (the others cut at 0.5).
Held-out texts come twice: of all sources, and of those that are not weak. Macro averages are over the labels that every
way has learnt; intervals are 95% bootstraps over texts. Memory is that of the way's process and its children, data
included. `seconds` is for splitting, fitting, calibrating, measuring and writing (ours), or fitting (the others);
`read_s`, for reading, cleaning and splitting all rows, comes before it.

    python benchmarks/train_linear.py [--limit ROWS] [--ways saring sklearn_known]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from _measure import emit, measured, require, shared_data
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion

from pipeline.learning.evaluate import given_matrix
from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.sets.split import plan_splits
from pipeline.learning.train import TrainConfig, train
from pipeline.measure.arrays import UNKNOWN, LabelMatrix, Scores
from pipeline.measure.intervals import Estimate
from pipeline.measure.metrics import Metrics, measure
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled import SPLITS, LabelledText, Split
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink

#: labels that no person gave per text, or that are mostly noise (see the shared data's SOURCES.md)
WEAK = frozenset({"sdcnl_en", "twsuicide_en", "erotic_sentences_id", "hatem_ms"})
WAYS = ("saring", "saring_no_weak", "sklearn_negative", "sklearn_known")
_CORES = 2
_REPEATS = 3
#: least number of held-out texts of a language with figures of its own
_LEAST_SLICE = 30


@dataclass(frozen=True, slots=True)
class Data:
    """All examples, with the split of each; and which of them the sources that aren't weak know."""

    examples: Examples
    strong: Examples

    def held_out(self) -> list[int]:
        """Positions of the test texts in `examples`."""
        return [i for i, split in enumerate(self.examples.splits) if split == "test"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Cost of a way, and its predictions for the held-out texts."""

    figures: dict[str, object]
    labels: tuple[str, ...]
    #: [held-out texts, labels]
    probabilities: Scores
    given: NDArray[np.bool_]


def load(limit: int | None) -> Data:
    """Read everything, and split it once for all ways."""
    paths = [path for path in sorted(shared_data().glob("*.jsonl.gz")) if path.name != "raw_stream.jsonl.gz"]
    require(paths or [shared_data()])
    rows = [row for path in paths for row in islice(read_labelled([str(path)], RejectSink()), limit)]
    examples = _gathered(rows)
    plan = plan_splits(examples, seed=TrainConfig().seed)
    # A near-duplicate of a held-out text is in no split.
    split_of: dict[uuid.UUID, Split] = {examples.ids[i]: name for name in SPLITS for i in getattr(plan, name)}

    def split(some: Examples) -> Examples:
        kept = some.take([i for i, text_id in enumerate(some.ids) if text_id in split_of])
        return replace(kept, splits=[split_of[text_id] for text_id in kept.ids])

    return Data(split(examples), split(_gathered([row for row in rows if row.source not in WEAK])))


def _gathered(rows: Sequence[LabelledText]) -> Examples:
    return gather(rows, load_taxonomy().keys)


def run_way(way: str, limit: int | None) -> Outcome:
    """Learn one way, and score the held-out texts."""
    start = time.perf_counter()
    data = load(limit)
    read = time.perf_counter() - start
    texts = [data.examples.texts[i] for i in data.held_out()]
    if way.startswith("saring"):
        outcome = _ours(data.strong if way.endswith("no_weak") else data.examples, texts)
    else:
        outcome = _sklearn(data.examples, texts, unknown_is_no=way.endswith("negative"))
    # joblib would wait for its workers until they are idle for minutes, so they are stopped.
    get_reusable_executor().shutdown()
    return replace(outcome, figures={"read_s": read, **outcome.figures})


def _ours(examples: Examples, texts: Sequence[str]) -> Outcome:
    steps: dict[str, float] = {}

    def note(count: int, total: int | None, what: str, figures: str = "") -> None:  # noqa: ARG001
        steps.setdefault(what.partition(" ")[0], time.perf_counter())

    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder:
        with measured() as took:
            report = train(examples, TrainConfig(), Path(folder), progress=note)
        ended = time.perf_counter()
        size = sum(path.stat().st_size for path in report.path.iterdir())
    model = report.model
    begun = [*steps.values(), ended]
    figures: dict[str, object] = {
        "texts": len(examples),
        "seconds": took.seconds,
        "fit_s": steps["calibrating"] - steps["training"],
        **{f"{what}_s": end - start for what, start, end in zip(steps, begun, begun[1:], strict=False)},
        "peak_rss_mb": took.peak_rss_mb,
        "model_mb": size / (1 << 20),
        "predict_texts_per_s": _speed(model.probabilities, texts),
        "left_out": dict(report.left_out),
    }
    probabilities = model.probabilities(texts)
    return Outcome(figures, model.labels, probabilities, given_matrix(model, probabilities))


def _sklearn(examples: Examples, texts: Sequence[str], *, unknown_is_no: bool) -> Outcome:
    some = examples.take([i for i, split in enumerate(examples.splits) if split == "train"])
    columns = [i for i, column in enumerate(some.truth.T) if (column == 1).any() and (column == 0).any()]
    truth = some.truth[:, columns]
    vectorizer = FeatureUnion(
        [
            ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5))),
            ("words", TfidfVectorizer()),
        ]
    )
    with measured() as took:
        features = vectorizer.fit_transform(some.texts)
        probabilities_of = _fit_all(features, truth) if unknown_is_no else _fit_known(features, truth)
    figures: dict[str, object] = {
        "texts": len(some),
        "seconds": took.seconds,
        "fit_s": took.seconds,
        "peak_rss_mb": took.peak_rss_mb,
        "predict_texts_per_s": _speed(lambda batch: probabilities_of(vectorizer.transform(batch)), texts),
    }
    probabilities = probabilities_of(vectorizer.transform(texts))
    return Outcome(figures, tuple(some.labels[i] for i in columns), probabilities, probabilities >= 0.5)


def _fit_all(features: csr_matrix, truth: LabelMatrix) -> Callable[[csr_matrix], Scores]:
    model = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
    with parallel_config("threading", n_jobs=_CORES):
        model.fit(features, truth == 1)
    return lambda rows: np.asarray(model.predict_proba(rows))


def _fit_known(features: csr_matrix, truth: LabelMatrix) -> Callable[[csr_matrix], Scores]:
    def fit(column: NDArray[np.int8]) -> LogisticRegression:
        known = column != UNKNOWN
        return LogisticRegression(solver="liblinear").fit(features[known], column[known])

    models = Parallel(n_jobs=_CORES, backend="threading")(delayed(fit)(column) for column in truth.T)
    return lambda rows: np.stack([model.predict_proba(rows)[:, 1] for model in models], axis=1)


def _speed(score: Callable[[Sequence[str]], Scores], texts: Sequence[str]) -> float:
    """Texts a second, from text to probabilities; the best of a few times."""
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        score(texts)
        best = min(best, time.perf_counter() - start)
    return len(texts) / best


def score(data: Data, way: str, outcome: Outcome, common: Sequence[str]) -> None:
    """Measure a way on the held-out texts, and report it."""
    positions = data.held_out()
    everything, known_ids = data.examples.take(positions), set(data.strong.ids)
    languages = np.array(everything.languages)
    strong = np.array([text_id in known_ids for text_id in everything.ids])
    ours = [outcome.labels.index(label) for label in common]
    truth = everything.truth[:, [everything.labels.index(label) for label in common]]

    def on(some: NDArray[np.bool_]) -> Metrics:
        return measure(
            outcome.probabilities[some][:, ours],
            truth[some],
            common,
            outcome.given[some][:, ours],
            thresholds=dict.fromkeys(common, 0.5),
            rng=np.random.default_rng(0),
        )

    slices = {"all": np.ones(len(positions), dtype=bool), "not_weak": strong}
    for name, count in zip(*np.unique(languages, return_counts=True), strict=True):
        if count >= _LEAST_SLICE:
            slices[f"language={name}"] = languages == name
    for held_out, some in slices.items():
        metrics = on(some)
        figures: dict[str, object] = {
            "way": way,
            "held_out": held_out,
            "texts": metrics.texts,
            "labels": len(metrics.labels),
            "macro_average_precision": _triple(metrics.macro_average_precision),
            "macro_f1": _triple(metrics.macro_f1),
            "micro_average_precision": _triple(metrics.micro_average_precision),
        }
        if not held_out.startswith("language="):
            measures = metrics.labels.items()
            figures["mean_calibration_error"] = float(np.mean([of_label.calibration_error for _, of_label in measures]))
            figures["average_precision"] = {label: _triple(of_label.average_precision) for label, of_label in measures}
            figures["f1"] = {label: round(of_label.f1.value, 4) for label, of_label in measures}
            figures["positives"] = {label: of_label.positives for label, of_label in measures}
        emit("train_linear", figures)


def _triple(estimate: Estimate) -> list[float]:
    return [round(number, 4) for number in (estimate.value, estimate.low, estimate.high)]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="rows of each file; default: all")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args()
    outcomes: dict[str, Outcome] = {}
    context = multiprocessing.get_context("spawn")
    for way in options.ways:
        load_before = os.getloadavg()[0]
        # A new process for each, so that memory of one way is not counted for the next.
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            outcomes[way] = pool.submit(run_way, way, options.limit).result()
        figures = outcomes[way].figures
        emit("train_linear", {"way": way, "cores": os.cpu_count(), "load_before": load_before, **figures})
    data = load(options.limit)
    common = [label for label in data.examples.labels if all(label in outcome.labels for outcome in outcomes.values())]
    for way, outcome in outcomes.items():
        score(data, way, outcome, common)


if __name__ == "__main__":
    main()
