"""Weighted consensus beside a plain majority, on real labelled sets, and its speed beside crowd-kit.

Skill, on 2,000 texts of each of two shared sets (Indonesian) that none of the raters learnt from, with the sets' own
labels as gold:

- `trained`: three linear models that learnt from disjoint parts of very different size, a word list learnt from a
  fourth, the bootstrap rater, and one that always says "safe for work";
- `simulated`: five raters of known and unequal skill, whose errors are independent;
- `copies`: the same, where three of the five mostly repeat one poor rater.

Each line has macro F1 and macro average precision of the majority, of Dawid and Skene's model, and of the best single
rater (picked on this very gold, which favours it), with 95% bootstrap intervals, and which of the methods Saring takes.

Speed: 50,000 texts, 11 labels, 5 raters; `crowdkit.aggregation.DawidSkene` with its own settings, label after label, in
the same process.

Prints JSON lines.

    python benchmarks/consensus.py [--texts 50000] [--without-crowdkit] [--only skill|speed]
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
import uuid
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from _measure import emit, require, shared_data
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement
from pipeline.ledger.consensus.combine import Combined, combine
from pipeline.ledger.consensus.compare import Pair, contest
from pipeline.ledger.consensus.estimate import estimate
from pipeline.ledger.consensus.fit import choose
from pipeline.ledger.consensus.rule import Consensus
from pipeline.ledger.consensus.votes import Gold, Votes
from pipeline.measure.arrays import UNKNOWN
from pipeline.raters.bootstrap import BootstrapRater
from pipeline.raters.protocol import TextToJudge
from pipeline.settings import Settings
from pipeline.taxonomy import load_taxonomy
from pipeline.vectors.encoders.make import make_encoder

SETS = ("id_multi", "netifier_id")
SAFE = "safe for work"
#: rows that the linear models learn from, and then the word list
_PARTS = (200, 800, 2_400, 300)
#: texts that they are compared on; the bootstrap rater has to embed them
_NEW = 2_000
#: sensitivity and specificity of the simulated raters
_SKILLS = ((0.9, 0.97), (0.8, 0.93), (0.7, 0.9), (0.6, 0.85), (0.5, 0.9))
_POOR = (0.55, 0.8)

Matrix = NDArray[np.int8]


def read(name: str) -> tuple[list[str], Matrix, tuple[str, ...]]:
    """Texts in a random order, what is known of them, and the labels that the set has both with and without."""
    path = shared_data() / f"{name}.jsonl.gz"
    require([path])
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    keys = load_taxonomy().keys
    truth = np.full((len(rows), len(keys)), UNKNOWN, dtype=np.int8)
    for i, row in enumerate(rows):
        for named, value in ((row["not_labels"], 0), (row["labels"], 1)):
            truth[i, [keys.index(label) for label in named if label in keys]] = value
    usable = [j for j in range(len(keys)) if min((truth[:, j] == 1).sum(), (truth[:, j] == 0).sum()) >= 100]
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[i]["text"] for i in order], truth[order][:, usable], tuple(keys[j] for j in usable)


def linear(texts: Sequence[str], truth: Matrix, new: Sequence[str]) -> Matrix:
    """Judgements of a linear model of character n-grams that learnt from some texts."""
    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    known, unseen = features.fit_transform(texts), features.transform(new)
    judged = np.full((len(new), truth.shape[1]), UNKNOWN, dtype=np.int8)
    for j, column in enumerate(truth.T):
        rows = np.flatnonzero(column != UNKNOWN)
        if len(np.unique(column[rows])) == 2:
            model = LogisticRegression(class_weight="balanced", solver="liblinear").fit(known[rows], column[rows])
            judged[:, j] = model.predict(unseen)
    return judged


def word_list(texts: Sequence[str], truth: Matrix, new: Sequence[str]) -> Matrix:
    """Judgements of a list of words: words that occur with a label more often than without, in three texts or more."""
    features = CountVectorizer(binary=True)
    known, unseen = features.fit_transform(texts), features.transform(new)
    judged = np.zeros((len(new), truth.shape[1]), dtype=np.int8)
    for j, column in enumerate(truth.T):
        with_label = np.asarray(known[column == 1].sum(axis=0)).ravel()
        without = np.asarray(known[column == 0].sum(axis=0)).ravel()
        listed = (with_label >= 3) & (with_label > without)
        judged[:, j] = np.asarray(unseen[:, listed].sum(axis=1)).ravel() > 0
    return judged


def bootstrap_rater(texts: Sequence[str], labels: Sequence[str]) -> Matrix:
    """Judgements of the bootstrap rater."""
    taxonomy = load_taxonomy()
    encoder = make_encoder(Settings())
    vectors = encoder.encode(list(texts))
    ids = [uuid.UUID(int=i) for i in range(len(texts))]
    rows = [TextToJudge(i, t, v) for i, t, v in zip(ids, texts, vectors, strict=True)]
    judged = np.full((len(texts), len(labels)), UNKNOWN, dtype=np.int8)
    for answer in BootstrapRater(taxonomy, encoder).judge(rows):
        if isinstance(answer, NewJudgement):
            for j, label in enumerate(labels):
                if label in answer.asserted or label in answer.denied:
                    judged[answer.text_id.int, j] = label in answer.asserted
    return judged


def table(words: dict[str, Matrix], truth: Matrix, labels: tuple[str, ...]) -> Votes:
    """All raters in one rank: the bootstrap rater too is heard beside the others here."""
    texts, size = len(truth), len(words)
    judged = np.concatenate(list(words.values()))
    return Votes(
        labels=labels,
        raters=tuple(RaterRef(RaterKind.LLM, name, "1") for name in words),
        texts=texts,
        text=np.tile(np.arange(texts), size),
        rater=np.repeat(np.arange(size), texts),
        said=judged,
        heard=judged,
        votes=np.ones(len(judged), dtype=np.bool_),
        known=np.tile(truth, (size, 1)),
        truth=truth,
        gold=Gold.TRUSTED,
    )


def compare(name: str, raters: str, votes: Votes) -> None:
    """One line."""
    fitted = choose(votes, {}, rng=np.random.default_rng(0))
    weighed = combine(votes, estimate(votes, fitted.consensus.families)[0])
    plain = combine(votes, Consensus(families=fitted.consensus.families))
    contested = contest(plain, weighed, votes.truth, votes.labels, rng=np.random.default_rng(0))
    single = {}
    for number, ref in enumerate(votes.raters):
        judged = votes.said[votes.rater == number]
        alone = Combined(np.where(judged == UNKNOWN, np.nan, judged.astype(np.float64)), judged)
        single[ref.name] = contest(alone, plain, votes.truth, votes.labels, rng=np.random.default_rng(0))
    best = max(single, key=lambda rater: single[rater].macro_f1.first.value)
    emit(
        "consensus",
        {
            "what": "skill",
            "set": name,
            "raters": raters,
            "texts": contested.texts,
            "labels": len(contested.f1),
            **_figures("macro_f1", contested.macro_f1),
            **_figures("macro_average_precision", contested.macro_average_precision),
            "best_single": best,
            "best_single_macro_f1": _plain(single[best].macro_f1.first),
            "best_single_macro_average_precision": _plain(single[best].macro_average_precision.first),
            "every_macro_f1": {key: round(result.macro_f1.first.value, 4) for key, result in single.items()},
            "labels_with_a_model": sum(fit.model is not None for fit in fitted.labels.values()),
            "families": sorted(set(fitted.consensus.families.values())),
            "taken": str(fitted.consensus.method),
            "why": fitted.why,
        },
    )


def _figures(name: str, pair: Pair) -> dict[str, Any]:
    return {
        f"majority_{name}": _plain(pair.first),
        f"dawid_skene_{name}": _plain(pair.second),
        f"{name}_difference": _plain(pair.difference),
    }


def _plain(estimate_: Any) -> list[float]:
    return [round(number, 4) for number in (estimate_.value, estimate_.low, estimate_.high)]


def noisy(truth: Matrix, skill: tuple[float, float], dice: np.random.Generator) -> Matrix:
    """Judgements of a rater of a known skill; unknown where the truth is unknown."""
    right = dice.random(truth.shape) < np.where(truth == 1, *skill)
    return np.where(truth == UNKNOWN, UNKNOWN, np.where(right, truth, 1 - truth)).astype(np.int8)


def skill(name: str) -> None:
    """The three sorts of raters on one set."""
    texts, truth, labels = read(name)
    learnt = sum(_PARTS)
    new, gold = texts[learnt : learnt + _NEW], truth[learnt : learnt + _NEW]
    words: dict[str, Matrix] = {}
    start = 0
    for size in _PARTS:
        part = slice(start, start + size)
        make = word_list if size == _PARTS[-1] else linear
        rater = f"words from {size}" if size == _PARTS[-1] else f"linear from {size}"
        words[rater] = make(texts[part], truth[part], new)
        start += size
    words["bootstrap"] = bootstrap_rater(new, labels)
    if SAFE in labels:
        words["always safe"] = np.tile((np.array(labels) == SAFE).astype(np.int8), (len(new), 1))
    compare(name, "trained", table(words, gold, labels))
    dice = np.random.default_rng(1)
    independent = {f"{yes}/{no}": noisy(gold, (yes, no), dice) for yes, no in _SKILLS}
    compare(name, "simulated", table(independent, gold, labels))
    poor = noisy(gold, _POOR, dice)
    copies = {
        f"copy {n}": np.where(dice.random(gold.shape) < 0.3, noisy(gold, _POOR, dice), poor).astype(np.int8)
        for n in range(3)
    }
    good = dict(list(independent.items())[:2])
    compare(name, "copies", table(copies | good, gold, labels))


def speed(texts: int, *, crowdkit: bool) -> None:
    """Time the estimates of all labels, and their consensus."""
    dice = np.random.default_rng(0)
    keys = load_taxonomy().keys
    true = (dice.random((texts, len(keys))) < np.geomspace(0.02, 0.5, len(keys))).astype(np.int8)
    words = {f"{yes}/{no}": noisy(true, (yes, no), dice) for yes, no in _SKILLS}
    votes = table(words, true, keys)
    began = time.perf_counter()
    consensus, fits = estimate(votes, {})
    fitted = time.perf_counter()
    combine(votes, consensus)
    ended = time.perf_counter()
    figures: dict[str, object] = {
        "what": "speed",
        "texts": texts,
        "labels": len(keys),
        "raters": len(words),
        "labels_with_a_model": len(consensus.labels),
        "iterations": sum(fit.iterations for fit in fits.values()),
        "fit_seconds": fitted - began,
        "combine_seconds": ended - fitted,
        "texts_per_second": round(texts / (fitted - began)),
    }
    if crowdkit:
        import pandas as pd
        from crowdkit.aggregation import DawidSkene

        began = time.perf_counter()
        iterations = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for column in votes.heard.T:
                model = DawidSkene()
                model.fit(pd.DataFrame({"task": votes.text, "worker": votes.rater, "label": column.astype(np.int64)}))
                iterations += len(model.loss_history_)
        took = time.perf_counter() - began
        figures |= {
            "crowdkit_fit_seconds": took,
            "crowdkit_iterations": iterations,
            "crowdkit_texts_per_second": round(texts / took),
        }
    emit("consensus", figures)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=50_000, help="for speed")
    parser.add_argument("--without-crowdkit", action="store_true")
    parser.add_argument("--only", choices=("skill", "speed"))
    options = parser.parse_args()
    if options.only != "speed":
        for name in SETS:
            skill(name)
    if options.only != "skill":
        speed(options.texts, crowdkit=not options.without_crowdkit)


if __name__ == "__main__":
    main()
