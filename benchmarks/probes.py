"""Probe pairs in the gate: what a model gets right of each kind, how often the gate is wrong, and what it finds.

Models are trained on the demo corpus, and tried on Saring's own pairs.

`kinds`   the model of the whole corpus, by function: pairs that it gets right, sentences with the label that it gives
          it, sentences without it that it leaves alone; and the pairs that a plain pipeline gets right (tf-idf of
          character 2- to 5-grams and of words, logistic regression), which learns from the same texts
`alarms`  models that each learn from another random 80% of the training texts are equally good: comparisons, in both
          directions, in which the gate calls one worse on any kind. The aim is at most 5%
`found`   challengers made worse on purpose: they guess at a share of the pairs of a kind. In how many comparisons the
          gate calls the kind worse
`blind`   the same models, given texts without negations, without emoji, or without words that hold digits: the share of
          pairs that they lose says how much a model looks at these signs at all

    python benchmarks/probes.py [--models 12]
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from _measure import emit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion

from pipeline.learning.gate.rules import Margins
from pipeline.learning.probes.comparison import compare_answers
from pipeline.learning.probes.reading import load_probes
from pipeline.learning.probes.sentences import ProbePair, ProbeSentences, Tried, try_pairs
from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.sets.split import plan_splits
from pipeline.learning.train import TrainConfig, train
from pipeline.measure.arrays import UNKNOWN
from pipeline.measure.intervals import wilson
from pipeline.models.artefact import TrainedModel
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink

_NEGATIONS = re.compile(
    r"\b(tak|tidak|takkan|bukan|jangan|tiada|not|never|no|nobody|don't|cannot|isn't)\b", re.IGNORECASE
)
_EMOJI = re.compile(r"[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]")
_DIGITS = re.compile(r"\S*\d\S*")
#: kinds of pairs, and the sign that a model does not see
PLANTED = {"negation": _NEGATIONS, "emoji": _EMOJI, "disguise": _DIGITS}


@dataclass(frozen=True)
class Blind:
    """A classifier that does not see some signs."""

    classifier: Any
    signs: re.Pattern[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.classifier, name)

    def decisions(self, texts: Sequence[str]) -> Any:
        return self.classifier.decisions([self.signs.sub(" ", text) for text in texts])


def demo_corpus() -> Examples:
    """The texts and labels of the demo corpus."""
    taxonomy = load_taxonomy()
    folder = Path(str(files("saring.demo").joinpath("corpus")))
    with RejectSink() as rejects:
        rows = list(read_labelled([str(path) for path in sorted(folder.glob("*.jsonl"))], rejects))
    return gather(rows, taxonomy.keys, taxonomy.excludes)


def trained(examples: Examples, probes: ProbeSentences) -> TrainedModel:
    """The default model of these texts."""
    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder:
        return train(examples, TrainConfig(), Path(folder), apart=probes.texts).model


def plain(examples: Examples, probes: ProbeSentences, pairs: Sequence[ProbePair]) -> Tried:
    """The answers of a plain pipeline that learns from the same texts."""
    fitting = examples.take(plan_splits(examples, seed=TrainConfig().seed, apart=probes.texts).train)
    features = FeatureUnion(
        [
            ("chars", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)),
            ("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)),
        ]
    )
    rows = features.fit_transform(fitting.texts)
    sentences = features.transform([text for pair in pairs for text in (pair.has, pair.lacks)])
    probabilities = np.zeros((len(pairs), 2))
    for label in {pair.label for pair in pairs}:
        truth = fitting.truth[:, fitting.labels.index(label)]
        known = np.flatnonzero(truth != UNKNOWN)
        model = LogisticRegression(C=10, class_weight="balanced", max_iter=1_000).fit(rows[known], truth[known])
        own = [i for i, pair in enumerate(pairs) if pair.label == label]
        scores = model.predict_proba(sentences)[:, 1].reshape(-1, 2)
        probabilities[own] = scores[own]
    return Tried(pairs, probabilities, probabilities >= 0.5)


def kinds(tried: Tried, beside: Tried) -> None:
    """Print the figures of each function, of each variety, and of all pairs."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, pair in enumerate(tried.pairs):
        for name in (pair.function, f"variety {pair.variety}", "all"):
            groups[name].append(i)
    for name, rows in groups.items():
        emit(
            "probes",
            {
                "what": "kinds",
                "kind": name,
                "pairs": len(rows),
                "right": int(tried.right[rows].sum()),
                "sklearn_right": int(beside.right[rows].sum()),
                "found": int(tried.given[rows, 0].sum()),
                "left_alone": int((~tried.given[rows, 1]).sum()),
            },
        )


def alarms(answers: Sequence[Tried], margin: float) -> None:
    """Print how often the gate calls one of two equally good models worse."""
    compared, changed = 0, []
    called: dict[str, int] = defaultdict(int)
    for first, second in permutations(answers, 2):
        comparison = compare_answers(first, second)
        worse = [kind.name for kind in comparison.kinds if kind.worse(margin)]
        compared += 1
        changed.append(len(comparison.changed))
        for name in worse:
            called[name] += 1
        called["any"] += bool(worse)
    share = wilson(called["any"], compared)
    assert share is not None
    emit(
        "probes",
        {
            "what": "alarms",
            "models": len(answers),
            "comparisons": compared,
            "pairs": len(answers[0].pairs),
            "changed_pairs_mean": float(np.mean(changed)),
            "called_worse": called["any"],
            # comparisons share models, so that the interval is too narrow
            "share": [round(value, 4) for value in (share.value, share.low, share.high)],
            "by_kind": {name: count for name, count in called.items() if name != "any"},
        },
    )


def found(answers: Sequence[Tried], margin: float) -> None:
    """Print how often the gate finds a kind at which a challenger guesses."""
    rng = np.random.default_rng(1)
    for kind in ("negation", "disguise", "emoji", "mixing"):
        rows = np.flatnonzero([pair.function == kind for pair in answers[0].pairs])
        for share in (0.5, 1.0):
            hits = compared = 0
            for champion, other in permutations(answers, 2):
                guessed = rows[rng.random(len(rows)) < share]
                swapped = guessed[rng.random(len(guessed)) < 0.5]
                probabilities = other.probabilities.copy()
                probabilities[guessed] = np.sort(probabilities[guessed], axis=1)[:, ::-1] + [1e-9, 0]
                probabilities[swapped] = probabilities[swapped, ::-1]
                comparison = compare_answers(champion, replace(other, probabilities=probabilities))
                hits += any(each.worse(margin) for each in comparison.kinds if each.function == kind)
                compared += 1
            emit(
                "probes",
                {
                    "what": "found",
                    "kind": kind,
                    "pairs": len(rows),
                    "guessed": share,
                    "comparisons": compared,
                    "found": hits / compared,
                },
            )


def blind(models: Sequence[TrainedModel], answers: Sequence[Tried]) -> None:
    """Print how many pairs models lose that do not see a sign."""
    for kind, signs in PLANTED.items():
        lost = []
        for i, model in enumerate(models):
            champion = answers[i]
            unseeing = replace(model, classifier=Blind(model.classifier, signs))
            comparison = compare_answers(champion, try_pairs(unseeing, champion.pairs))
            (own,) = [each for each in comparison.kinds if each.function == kind and each.label is None]
            lost.append(own.drop)
        emit(
            "probes",
            {
                "what": "blind",
                "kind": kind,
                "comparisons": len(models),
                "share_lost_mean": float(np.mean(lost)),
            },
        )


def _parts(examples: Examples, count: int) -> list[Examples]:
    plan = plan_splits(examples, seed=TrainConfig().seed)
    held = [*plan.dev, *plan.test]
    parts = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        some = rng.choice(plan.train, size=round(0.8 * len(plan.train)), replace=False)
        parts.append(examples.take(sorted([*some.tolist(), *held])))
    return parts


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, default=12, help="number of equally good models")
    args = parser.parse_args(arguments)
    probes, examples = load_probes(load_taxonomy()), demo_corpus()
    whole = trained(examples, probes)
    pairs = probes.of_labels(whole.labels)
    kinds(try_pairs(whole, pairs), plain(examples, probes, pairs))
    models = [trained(part, probes) for part in _parts(examples, args.models)]
    shared = [label for label in whole.labels if all(label in model.labels for model in models)]
    answers = [try_pairs(model, probes.of_labels(shared)) for model in models]
    alarms(answers, Margins().probes)
    found(answers, Margins().probes)
    blind(models, answers)


if __name__ == "__main__":
    main()
