"""Variants of the default linear model, each trained on the training rows and ranked on the dev rows.

Rows are compared with the first by paired bootstrap intervals. No judged row is looked at. Variants of the fit share
the n-grams of one hashing; variants of the texts hash anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from _quality_figures import Figure, Scored, Wanted, by_language, cells_of, compute, pooled, within
from _quality_sets import TEMPLATES, WEAK, QualitySets
from _quality_spellings import CANDIDATES, beside
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from pipeline.learning.sets.examples import Examples
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Ints, Scores
from pipeline.models.features import NgramConfig, Ngrams, fold_columns
from pipeline.models.folding import VERSIONS
from pipeline.models.linear import LinearConfig, fit_linear
from pipeline.models.naive_bayes import even_within, ratios
from pipeline.models.source_effects import BITS, columns_of, fit_source_effects, number_sources

_LEAST = 5
#: buckets of the features that are copied for each source
_COPIES = 1 << 21
_NGRAMS = NgramConfig()


@dataclass(frozen=True)
class Fit:
    """Settings of a linear fit; the defaults are those of the product."""

    #: views that are averaged: `plain` n-grams, and those scaled by the `ratios` of naive Bayes
    views: Sequence[str] = ("plain", "ratios")
    estimator: str = "squared hinge"
    C: float = 0.5
    #: C of the view of ratios
    ratios_strength: float = 0.1
    #: none, `even` (both answers count the same, by the root), or `even within sources`
    weights: str = ""
    source_scale: float = 0.3
    #: part of the effect of the guessed source that is added; None: of the true source
    source_share: float | None = 0.6
    #: size of copies of all features for each source (Daumé 2007); 0: none
    copies: float = 0.0


@dataclass(frozen=True)
class Reading:
    """Other settings of the product, or texts with words appended."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    #: a text, and whether it is another than before
    read: Callable[[str], tuple[str, bool]] | None = None


_AS_IT_WAS = Fit(views=("plain",), source_scale=0.0, C=0.3)
VARIANTS: Mapping[str, Fit | Reading] = {
    "the default": Fit(),
    "as it was: one view, no source effects, C = 0.3": _AS_IT_WAS,
    "as it was, C = 0.5": replace(_AS_IT_WAS, C=0.5),
    "as it was, C = 1": replace(_AS_IT_WAS, C=1.0),
    "as it was, hinge": replace(_AS_IT_WAS, C=0.5, estimator="hinge"),
    "as it was, logistic regression, C = 3": replace(_AS_IT_WAS, C=3.0, estimator="logistic"),
    "as it was, answers weighted evenly": replace(_AS_IT_WAS, C=0.5, weights="even"),
    "as it was, answers weighted evenly within sources": replace(_AS_IT_WAS, C=0.5, weights="even within sources"),
    "as it was, features copied for each source": replace(_AS_IT_WAS, C=0.5, copies=0.5),
    "without source effects": Fit(source_scale=0.0),
    "without the view of naive Bayes": Fit(views=("plain",)),
    "the view of naive Bayes alone": Fit(views=("ratios",)),
    "source effects left out": Fit(source_share=0.0),
    "0.3 of the source effects": Fit(source_share=0.3),
    "all of the source effects": Fit(source_share=1.0),
    "the effects of the true source": Fit(source_share=None),
    "effects with a weaker penalty": Fit(source_scale=1.0),
    "without folding": Reading({"fold": "none"}),
    "characters 2 to 6": Reading({"ngrams": replace(_NGRAMS, char_range=(2, 6))}),
    "words 1 to 3": Reading({"ngrams": replace(_NGRAMS, word_range=(1, 3))}),
    **{f"texts with {name}": Reading(read=partial(beside, candidate)) for name, candidate in CANDIDATES.items()},
}


class Hashed:
    """N-grams of the training and dev rows, and the guess of each dev row's source."""

    def __init__(self, sets: QualitySets) -> None:
        fold = VERSIONS[LinearConfig().fold]
        self.sets = sets
        ngrams = Ngrams(_NGRAMS)
        self.train = ngrams.fit([fold(text) for text in sets.train.texts], LinearConfig().workers)
        self.dev = ngrams.transform([fold(text) for text in sets.dev.texts])
        self.numbers, self.count = number_sources(sets.train.sources)

    @cached_property
    def guessed(self) -> Floats:
        """Shares of the sources in each dev row: [texts, sources]."""
        guess = fit_source_effects(self.train, self.numbers, np.eye(self.count), rng=np.random.default_rng(0))
        return guess.expected(np.asarray(fold_columns(self.dev.copy(), 1 << BITS) @ guess.weights))

    @cached_property
    def true(self) -> Floats:
        """The true source of each dev row, in the same form."""
        number_of = dict(zip(self.sets.train.sources, self.numbers.tolist(), strict=True))
        shares = np.zeros((len(self.sets.dev), self.count))
        for row, source in enumerate(self.sets.dev.sources):
            if (number := number_of.get(source, -1)) >= 0:
                shares[row, number] = 1
        return shares


def ablate(sets: QualitySets, emit: Callable[[Mapping[str, object]], None], names: Sequence[str] = ()) -> str:
    """Train and rank variants; a table in Markdown, its first row the first variant itself."""
    rows = sets.dev
    wanted = _wanted(rows)
    head = list(wanted)
    lines = [f"| | texts changed | {' | '.join(head)} |", f"| --- | --- |{' --- |' * len(head)}"]
    first: dict[str, Figure] | None = None
    hashed = Hashed(sets)
    for name in names or VARIANTS:
        start, variant, share = time.process_time(), VARIANTS[name], 0.0
        if isinstance(variant, Fit):
            decisions = fitted(hashed, variant)
        else:
            decisions, share = _read_anew(sets, variant)
        figures = compute(rows, Scored(decisions, decisions > 0), wanted)
        values = {of: figure.estimate for of, figure in figures.items()}
        shown = {of: f"{estimate.value:.4f}" for of, estimate in values.items()}
        if first is None:
            first = figures
        else:
            gains = {of: figure.gain(first[of]) for of, figure in figures.items()}
            shown = {of: f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})" for of, gain in gains.items()}
        emit(
            {
                "variant": name,
                "cpu_seconds": time.process_time() - start,
                **{of: round(estimate.value, 4) for of, estimate in values.items()},
                "beside the first": shown,
            }
        )
        changed = f"{share:.1%}" if share else ""
        lines.append(f"| {name} | {changed} | {' | '.join(shown[of] for of in head)} |")
    return "\n".join(lines)


def _wanted(rows: Examples) -> dict[str, Wanted]:
    everywhere = np.ones(len(rows), dtype=np.bool_)
    names = sorted({source.split(",")[0] for source in rows.sources})
    natural = [name for name in names if name not in TEMPLATES + WEAK]
    cells = cells_of(rows, everywhere, names)
    from_natural = np.array([source.split(",")[0] in natural for source in rows.sources])
    return {
        "natural, pooled": pooled(rows, from_natural),
        "within sources, natural": within(cells, natural),
        "within sources, all": within(cells, names),
        **{f"within sources, {name}": figure for name, figure in by_language(rows, everywhere, names).items()},
    }


def _read_anew(sets: QualitySets, variant: Reading) -> tuple[Scores, float]:
    """Decisions of the product's own fit on the dev rows, and the share of training texts that are read otherwise."""
    train, dev, share = list(sets.train.texts), list(sets.dev.texts), 0.0
    if variant.read is not None:
        read = [variant.read(text) for text in train]
        train, share = [text for text, _ in read], float(np.mean([changed for _, changed in read]))
        dev = [variant.read(text)[0] for text in dev]
    config = replace(LinearConfig(), **variant.changes)
    model = fit_linear(train, sets.train.truth, sets.train.labels, config, sources=sets.train.sources)
    return model.decisions(dev), share


def fitted(hashed: Hashed, how: Fit) -> Scores:
    """Decisions on the dev rows: [texts, labels]."""
    truth = hashed.sets.train.truth
    decisions = np.zeros(hashed.sets.dev.truth.shape)
    for label in range(truth.shape[1]):
        known = np.flatnonzero(truth[:, label] != UNKNOWN)
        answers = truth[known, label] == 1
        if min(answers.sum(), (~answers).sum()) >= _LEAST:
            decisions[:, label] = np.mean([_view(hashed, how, view, known, answers) for view in how.views], axis=0)
    return decisions


def _view(hashed: Hashed, how: Fit, view: str, known: Ints, answers: Booleans) -> Floats:
    rows, dev, own = hashed.train[known], hashed.dev, hashed.numbers[known]
    strength = how.C
    if view == "ratios":
        scale = sp.diags(ratios(rows, answers, even_within(own, answers)))
        rows, dev, strength = (rows @ scale).tocsr(), (dev @ scale).tocsr(), how.ratios_strength
    size = rows.shape[1]
    blocks = [rows]
    if how.source_scale:
        blocks.append(columns_of(own, hashed.count, how.source_scale))
    if how.copies:
        blocks.append(_copied(rows, own, how.copies))
    features = sp.hstack(blocks, format="csr") if len(blocks) > 1 else rows
    model = _ESTIMATORS[how.estimator](strength)
    model.fit(features, answers, sample_weight=_weights(how.weights, own, answers))
    weights = model.coef_[0]
    scores = np.asarray(dev @ weights[:size] + model.intercept_[0])
    spread = float(np.std(features @ weights)) or 1.0
    if how.source_scale and how.source_share != 0.0:
        effects = weights[size : size + hashed.count] * how.source_scale
        scores += hashed.true @ effects if how.source_share is None else how.source_share * (hashed.guessed @ effects)
    return scores / spread


_ESTIMATORS: Mapping[str, Callable[[float], Any]] = {
    "squared hinge": lambda c: LinearSVC(C=c, dual=True, tol=1e-2, max_iter=2_000, random_state=0),
    "hinge": lambda c: LinearSVC(C=c, loss="hinge", dual=True, tol=1e-2, max_iter=2_000, random_state=0),
    "logistic": lambda c: LogisticRegression(C=c, solver="liblinear", dual=True, tol=1e-2, random_state=0),
}


def _weights(kind: str, own: Ints, answers: Booleans) -> Floats | None:
    if not kind:
        return None
    groups = own if kind == "even within sources" else np.zeros_like(own)
    weights = np.ones(len(answers))
    for group in np.unique(groups):
        rows = groups == group
        # so that a source with one answer keeps its rows
        share = (answers[rows].sum() + _LEAST) / (rows.sum() + 2 * _LEAST)
        weights[rows] = np.sqrt(np.where(answers[rows], 0.5 / share, 0.5 / (1 - share)))
    return np.asarray(weights / weights.mean())


def _copied(rows: sp.csr_matrix, own: Ints, scale: float) -> sp.csr_matrix:
    """All features again under the name of their source, hashed."""
    numbers = np.repeat(own, np.diff(rows.indptr)).astype(np.int64)
    columns = (rows.indices.astype(np.int64) * 2_654_435_761 + numbers * 3_928_891) % _COPIES
    return sp.csr_matrix((rows.data * np.float32(scale), columns, rows.indptr), shape=(rows.shape[0], _COPIES))
