"""Labelled sets with planted errors: what a language model that labels texts gets wrong, at a rate that is known.

Each set is cut into three parts that share no near-duplicates: texts that the raters label, clean texts to measure a
model on, and a few texts that the weak models of the raters learn from.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _measure import require, shared_data
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from pipeline.learning.sets.examples import Examples
from pipeline.measure.arrays import UNKNOWN, Floats, Ints, LabelMatrix
from pipeline.settings import Settings
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled_files import clean
from pipeline.texts.near_duplicates import near_duplicate_groups
from pipeline.texts.normalise import text_id
from pipeline.vectors.encoders.make import make_encoder
from pipeline.vectors.encoders.protocol import Vectors

#: sets of posts that people labelled; Indonesian, English and Malay
SETS = ("id_multi", "netifier_id", "edos_en", "hatem_ms")
#: kinds of planted errors
KINDS = ("class-conditional", "instance-dependent")
RATERS = 3
#: share of the labels given that are wrong, and share of the texts with a label that do not get it, by rater
WRONG, MISSED = (0.15, 0.12, 0.18), (0.15, 0.2, 0.1)
#: texts that a weak model learns from
_WEAK = 300
#: odds of an error grow by this factor's exponential with each standard deviation of the weak model's score
_STEEPNESS = 2.0
#: texts with a label in the labelled part, for the label to be measured
_LEAST = 60
_OUT = Path(__file__).resolve().parents[1] / "out"


@dataclass(frozen=True)
class StageSet:
    """One set, cut into its parts."""

    name: str
    labelled: Examples
    #: of the labelled texts, [texts, dimension]
    vectors: Vectors
    held_out: Examples
    #: for each rater, [labelled texts, labels]: score of the label by a model that learnt from few other texts
    weak: Sequence[Floats]


def stage_set(name: str, most: int) -> StageSet:
    """Read and cut a set; vectors are kept in `out/` beside the code."""
    examples = _read(name)
    rows = np.random.default_rng(0).permutation(len(examples))
    groups = near_duplicate_groups(examples.texts)
    # Of near-duplicates the first one, so that the parts share none.
    first_of: dict[int, int] = {}
    for row in rows.tolist():
        first_of.setdefault(groups[row], row)
    apart = list(first_of.values())
    learnt, rest = apart[: RATERS * _WEAK], apart[RATERS * _WEAK :]
    size = min(most, len(rest) * 2 // 3)
    labelled, held_out = examples.take(rest[:size]), examples.take(rest[-min(most, len(rest) - size) :])
    columns = [i for i in range(len(examples.labels)) if _enough(labelled.truth[:, i])]
    labelled, held_out = _only(labelled, columns), _only(held_out, columns)
    weak = [
        _weak_scores(_only(examples.take(learnt[i * _WEAK : (i + 1) * _WEAK]), columns), labelled.texts)
        for i in range(RATERS)
    ]
    return StageSet(name, labelled, _vectors(name, labelled.texts), held_out, weak)


def spoil(data: StageSet, kind: str, rater: int, rng: np.random.Generator) -> LabelMatrix:
    """The answers of a rater: the truth with planted errors; unknown stays unknown.

    Of the labels it gives, `WRONG` are wrong; of the texts that have the label, `MISSED` do not get it.
    """
    truth = data.labelled.truth
    given = truth.copy()
    for column in range(truth.shape[1]):
        yes, no = np.flatnonzero(truth[:, column] == 1), np.flatnonzero(truth[:, column] == 0)
        missed = round(MISSED[rater] * len(yes))
        wrong = min(len(no) // 2, round((len(yes) - missed) * WRONG[rater] / (1 - WRONG[rater])))
        score = data.weak[rater][:, column]
        steep = _STEEPNESS if kind == "instance-dependent" else 0.0
        given[_draw(no, steep * score[no], wrong, rng), column] = 1
        given[_draw(yes, -steep * score[yes], missed, rng), column] = 0
    return given


def _draw(rows: Ints, odds: Floats, count: int, rng: np.random.Generator) -> Ints:
    """So many of the rows, drawn without replacement with these logarithms of odds (Gumbel's maxima)."""
    return rows[np.argsort(-(odds + rng.gumbel(size=len(rows))), kind="stable")[:count]]


def _weak_scores(learnt: Examples, texts: Sequence[str]) -> Floats:
    """Standardised scores of word models, [texts, labels]."""
    words = TfidfVectorizer(sublinear_tf=True)
    known, asked = words.fit_transform(learnt.texts), words.transform(texts)
    scores = np.zeros((len(texts), len(learnt.labels)))
    for column, answers in enumerate(learnt.truth.T):
        rows = np.flatnonzero(answers != UNKNOWN)
        if len(np.unique(answers[rows])) == 2:
            model = LogisticRegression(C=10.0, class_weight="balanced", solver="liblinear", random_state=0)
            own = model.fit(known[rows], answers[rows]).decision_function(asked)
            scores[:, column] = (own - own.mean()) / (own.std() or 1.0)
    return scores


def _read(name: str) -> Examples:
    path = shared_data() / f"{name}.jsonl.gz"
    require([path])
    keys = load_taxonomy().keys
    answers: dict[str, dict[str, int]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            own = answers.setdefault(clean(row["text"]), {})
            for value, labels in ((0, row["not_labels"]), (1, row["labels"])):
                for label in labels:
                    own[label] = value if own.get(label, value) == value else UNKNOWN
    texts = list(answers)
    truth = np.array([[answers[text].get(key, UNKNOWN) for key in keys] for text in texts], dtype=np.int8)
    return Examples(
        [text_id(text) for text in texts], texts, truth, keys, [None] * len(texts), ["unknown"] * len(texts)
    )


def _enough(column: LabelMatrix) -> bool:
    return bool(min((column == 1).sum(), (column == 0).sum()) >= _LEAST)


def _only(examples: Examples, columns: Sequence[int]) -> Examples:
    labels = tuple(examples.labels[i] for i in columns)
    truth = examples.truth[:, list(columns)]
    return Examples(examples.ids, examples.texts, truth, labels, examples.splits, examples.languages)


def _vectors(name: str, texts: Sequence[str]) -> Vectors:
    """The vectors of the texts; those of the first so many are kept in `out/`, and more are added when asked for."""
    first = hashlib.blake2b(texts[0].encode(), digest_size=4).hexdigest()
    path = _OUT / f"stages-{name}-{first}.npy"
    kept = np.load(path) if path.exists() else None
    known = 0 if kept is None else len(kept)
    if known < len(texts):
        added = make_encoder(Settings()).encode(texts[known:]).astype(np.float16)
        kept = added if kept is None else np.concatenate([kept, added])
        path.parent.mkdir(exist_ok=True)
        np.save(path, kept)
    return np.asarray(kept[: len(texts)], dtype=np.float32)
