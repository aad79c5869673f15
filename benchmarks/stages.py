"""Does each stage earn its place? Planted errors in real labelled sets: what finds them, and what it does to a model.

Four sets that people labelled (Indonesian, English, Malay). Of three raters each, about 15% of the labels given are
wrong and about 15% of the labels are missed:

- `class-conditional`: by chance, at these rates;
- `instance-dependent`: a weak model that learnt from 300 other texts errs where its score is misleading.

The labels that the first rater gave are doubted by the stages (centroid filter, sentiment rule, audit; consensus and
an audit of all three raters, which need three) and by simple peers. Real errors of the sets count as right labels, so
no way can reach an area of 1.

- `find`: area under the ROC curve of finding the planted errors, mean over labels and seeds; precision and recall of
  what each way removes by its own cut (for scores: the cut that the centroid filter would choose).
- `model`: average precision on clean, held-out texts of n-grams with a logistic regression, after each way removed what
  its own cut says, and after it removed as many labels as there are planted errors; beside nothing removed, all planted
  errors removed, and as many removed at random.

Intervals are 95% bootstraps over texts; those of differences are paired.

    python benchmarks/stages.py                       # JSON lines
    python benchmarks/stages.py --table out/stages.md # and the table
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _measure import emit
from _stages_data import KINDS, RATERS, SETS, StageSet, spoil, stage_set
from _stages_ways import Asked, Doubts, ask, folds_of, sentiment_of
from sklearn.linear_model import LogisticRegression

from pipeline.filters.sentiment_model import make_sentiment_model
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, LabelMatrix
from pipeline.measure.intervals import Estimate, estimate_of, resampled
from pipeline.measure.metrics import Ranking
from pipeline.models.features import NgramConfig, Ngrams
from pipeline.models.folding import NEWEST, VERSIONS
from pipeline.settings import Settings

RESAMPLES = 400
#: what the others are compared with
FILTER, NOTHING, EVERYTHING = "similarity to centres", "nothing removed", "all planted errors removed"


@dataclass
class Found:
    """Findings of one way in one set with one kind of errors, over labels and seeds."""

    areas: list[Floats] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    rightly: list[int] = field(default_factory=list)
    planted: list[int] = field(default_factory=list)
    own: list[Floats] = field(default_factory=list)
    same: list[Floats] = field(default_factory=list)


class Trainer:
    """The model that learns from what is left: its n-grams are counted once."""

    def __init__(self, data: StageSet) -> None:
        fold = VERSIONS[NEWEST]
        features = Ngrams(NgramConfig())
        self.learnt = features.fit([fold(text) for text in data.labelled.texts])
        self.asked = features.transform([fold(text) for text in data.held_out.texts])
        self.truth = data.held_out.truth
        # The first row counts each text once, so its figure is the point.
        draws = resampled(len(data.held_out), np.random.default_rng(1), RESAMPLES)
        self.weights = np.concatenate([np.ones((1, len(data.held_out))), *draws])

    def average_precision(self, labels: LabelMatrix) -> Floats:
        """[1 + resamples]: mean over the labels, on the held-out texts."""
        values = []
        for column in range(labels.shape[1]):
            learnt, known = (np.flatnonzero(m[:, column] != UNKNOWN) for m in (labels, self.truth))
            model = LogisticRegression(C=5.0, solver="liblinear", dual=True, tol=1e-2, max_iter=2_000, random_state=0)
            model.fit(self.learnt[learnt], labels[learnt, column])
            scores = model.decision_function(self.asked[known])
            ranking = Ranking.of(scores, self.truth[known, column] == 1)
            values.append(ranking.average_precision(self.weights[:, known]))
        return np.asarray(np.mean(values, axis=0))


def main() -> None:
    """Measure, print JSON lines, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_500, help="labelled texts of each set, at most")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--table", type=Path, help="write a Markdown table to this file")
    options = parser.parse_args()
    began = time.perf_counter()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        sentiment = make_sentiment_model(Path(folder), Settings().seed)
        for name in options.sets.split(","):
            data = stage_set(name, options.texts)
            trainer, moods = Trainer(data), sentiment_of(sentiment, data.labelled.texts)
            for kind in KINDS:
                by_way: dict[str, Found] = {}
                for seed in range(options.seeds):
                    rng = np.random.default_rng(seed)
                    answers = [spoil(data, kind, rater, rng) for rater in range(RATERS)]
                    _measure(Asked(data, answers, moods, trainer.learnt, folds_of(data), seed), trainer, by_way)
                rows += _print(data, kind, by_way)
    emit(
        "stages",
        {"what": "run", "texts": options.texts, "seeds": options.seeds, "seconds": time.perf_counter() - began},
    )
    if options.table is not None:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(_table(rows), encoding="utf-8")


def _measure(asked: Asked, trainer: Trainer, by_way: dict[str, Found]) -> None:
    given, truth = asked.given, asked.data.labelled.truth
    planted = (given == 1) & (truth == 0)
    draws = resampled(len(given), np.random.default_rng(2), RESAMPLES)
    weights = np.concatenate([np.ones((1, len(given))), *draws])
    for name, removed in ((NOTHING, np.zeros_like(planted)), (EVERYTHING, planted)):
        by_way.setdefault(name, Found()).own.append(trainer.average_precision(np.where(removed, UNKNOWN, given)))
    for name, doubts in ask(asked):
        own = by_way.setdefault(name, Found())
        own.areas.append(_area(doubts, planted, weights))
        own.removed.append(int(doubts.removed.sum()))
        own.rightly.append(int((doubts.removed & planted).sum()))
        own.planted.append(int(planted.sum()))
        own.own.append(trainer.average_precision(np.where(doubts.removed, UNKNOWN, given)))
        own.same.append(trainer.average_precision(np.where(_as_many(doubts, planted), UNKNOWN, given)))


def _area(doubts: Doubts, planted: Booleans, weights: Floats) -> Floats:
    """[1 + resamples]: area under the ROC curve, mean over the labels of which something is said; nan: of none."""
    values = []
    for column in range(planted.shape[1]):
        rows = np.flatnonzero(np.isfinite(doubts.doubt[:, column]))
        if not len(rows):
            continue
        hits, seen = Ranking.of(doubts.doubt[rows, column], planted[rows, column]).curve(weights[:, rows])
        misses = seen - hits
        before = np.concatenate([np.zeros((len(hits), 1)), hits[:, :-1]], axis=1)
        gained = np.diff(misses, axis=1, prepend=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            values.append(((before + hits) / 2 * gained).sum(axis=1) / (hits[:, -1] * misses[:, -1]))
    return np.asarray(np.mean(values, axis=0)) if values else np.full(len(weights), np.nan)


def _as_many(doubts: Doubts, planted: Booleans) -> Booleans:
    """Of each label as many as there are planted errors, the most doubtful first."""
    chosen = np.zeros_like(planted)
    for column in range(planted.shape[1]):
        rows = np.flatnonzero(np.isfinite(doubts.doubt[:, column]))
        order = rows[np.argsort(-doubts.doubt[rows, column], kind="stable")]
        chosen[order[: planted[:, column].sum()], column] = True
    return chosen


def _print(data: StageSet, kind: str, by_way: Mapping[str, Found]) -> list[dict[str, object]]:
    """Print a line for each way."""
    base = np.mean(by_way[NOTHING].own, axis=0)
    of_filter = np.mean(by_way[FILTER].areas, axis=0)
    rows: list[dict[str, object]] = []
    for way, own in by_way.items():
        row: dict[str, object] = {
            "set": data.name,
            "labels": list(data.labelled.labels),
            "texts": len(data.labelled),
            "noise": kind,
            "way": way,
            "average_precision": _interval(np.mean(own.own, axis=0)),
            "gain": _interval(np.mean(own.own, axis=0) - base),
        }
        if own.areas:
            area = np.mean(own.areas, axis=0)
            row |= {
                "auroc": _interval(area),
                "auroc_above_filter": _interval(area - of_filter),
                "removed": sum(own.removed),
                "precision": round(sum(own.rightly) / sum(own.removed), 4) if sum(own.removed) else None,
                "recall": round(sum(own.rightly) / sum(own.planted), 4),
                "gain_as_many": _interval(np.mean(own.same, axis=0) - base),
            }
        emit("stages", {"what": "find and model", **row})
        rows.append(row)
    return rows


def _interval(values: Floats) -> list[float | None]:
    """A value and its interval, from a point and its resamples."""
    estimate: Estimate = estimate_of(float(values[0]), values[1:])
    return [
        round(number, 4) if np.isfinite(number) else None for number in (estimate.value, estimate.low, estimate.high)
    ]


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    """The table of a decision page: one for each kind of errors, a row for each way, a column for each set."""
    sets = list(dict.fromkeys(str(row["set"]) for row in rows))
    ways = list(dict.fromkeys(str(row["way"]) for row in rows))
    at = {(row["noise"], row["way"], row["set"]): row for row in rows}
    lines: list[str] = []
    for what, title in (
        ("auroc", "Area under the ROC curve"),
        ("gain_as_many", "Gain of average precision, as many removed as planted"),
        ("gain", "Gain of average precision, own cut"),
        ("cut", "Own cut: precision / recall"),
    ):
        for kind in KINDS:
            lines += [f"**{title}, {kind}**", "", f"| way | {' | '.join(sets)} |", "|" + " --- |" * (len(sets) + 1)]
            for way in ways:
                cells = [_cell(at.get((kind, way, name), {}), what) for name in sets]
                if any(cell != "–" for cell in cells):
                    lines.append(f"| {way} | {' | '.join(cells)} |")
            lines.append("")
    return "\n".join(lines)


def _cell(row: Mapping[str, object], what: str) -> str:
    if what == "cut":
        precision, recall = row.get("precision"), row.get("recall")
        return f"{precision:.2f} / {recall:.2f}" if precision is not None and recall is not None else "–"
    value = row.get(what)
    if not isinstance(value, list) or value[0] is None:
        return "–"
    sign = "" if what == "auroc" else "+"
    return f"{value[0]:{sign}.3f} [{value[1]:{sign}.3f}, {value[2]:{sign}.3f}]"


if __name__ == "__main__":
    main()
