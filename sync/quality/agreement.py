"""Agreement of raters beyond chance: Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's
Alpha-Reliability").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import Floats
from pipeline.measure.intervals import Estimate, bootstrap
from sync.quality.answers import Answers

#: texts with two answers or more, below which an alpha says nothing
LEAST_TEXTS = 10
#: parts of the sums that alpha is made of
_PARTS = 3


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """Agreement of raters on one label."""

    label: str
    #: texts with at least two answers
    texts: int
    #: answers among them that tick the label
    ticked: int
    #: None: not enough texts, or all answers alike
    alpha: Estimate | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of raters on all labels."""

    #: texts with at least two answers
    texts: int
    #: over all pairs of text and label, of the labels that could be measured
    overall: Estimate | None
    #: mean over the labels that could be measured
    mean: Estimate | None
    labels: tuple[LabelAgreement, ...]


def agreement(answers: Answers, *, rng: np.random.Generator) -> Agreement:
    """Alpha of each label, of all together, and their mean; nominal, ticked or not, answers missing at will.

    Args:
        answers: the table; one answer a rater and text.
        rng: draws the resamples of texts.
    """
    counts = tick_counts(answers)
    parts = np.concatenate([_parts(counts[:, i]) for i in range(len(answers.labels))], axis=1)
    texts = int((counts.sum(axis=2) >= 2).any(axis=1).sum())
    pairs = (counts.sum(axis=2) >= 2).sum(axis=0)
    enough = [i for i in range(len(answers.labels)) if pairs[i] >= LEAST_TEXTS and _two_values(counts[:, i])]

    def statistic(sums: Floats) -> Floats:
        each = sums.reshape(len(sums), -1, _PARTS)[:, enough]
        alphas = _alpha(each)
        pooled = _alpha(each.sum(axis=1))
        # a resample without a single tick of a label has no alpha for it; the mean is over those that have one
        known = np.isfinite(alphas)
        mean = np.where(known, alphas, 0).sum(axis=1) / known.sum(axis=1)
        return np.column_stack([alphas, pooled, mean])

    estimates = bootstrap(parts[parts.any(axis=1)], statistic, rng=rng) if enough else [None, None]
    by_label = {
        i: _with_value(estimate, nominal_alpha(counts[:, i]))
        for i, estimate in zip(enough, estimates[:-2], strict=True)
    }
    return Agreement(
        texts=texts,
        overall=estimates[-2],
        mean=estimates[-1],
        labels=tuple(
            LabelAgreement(label, int(pairs[i]), int(_ticks(counts[:, i])), by_label.get(i))
            for i, label in enumerate(answers.labels)
        ),
    )


def tick_counts(answers: Answers) -> Floats:
    """[texts, labels, 2]: how many raters left the label unticked, and how many ticked it."""
    counts = np.zeros((answers.texts, len(answers.labels), 2))
    for value in (0, 1):
        np.add.at(counts[:, :, value], answers.text, answers.said == value)
    return counts


def nominal_alpha(counts: Floats) -> float:
    """Krippendorff's alpha of counts [texts, values]: how many raters gave each value to each text.

    There must be two values, and a text with two answers. Part C of the paper: with the coincidence matrix o, which
    holds each ordered pair of answers to one text, weighted by 1 over one less than the number of its answers, its
    sums n_c and their total n, alpha is ((n - 1) sum o_cc - sum n_c (n_c - 1)) / (n (n - 1) - sum n_c (n_c - 1)).
    """
    counts = counts[counts.sum(axis=1) >= 2]
    weighted = counts / (counts.sum(axis=1, keepdims=True) - 1)
    coincidences = weighted.T @ counts - np.diag(weighted.sum(axis=0))
    each = coincidences.sum(axis=0)
    total = each.sum()
    by_chance = (each * (each - 1)).sum()
    return float(((total - 1) * np.trace(coincidences) - by_chance) / (total * (total - 1) - by_chance))


def _parts(counts: Floats) -> Floats:
    """The share of each text in the sums: disagreement within it, answers of either kind; nothing if it has a single
    answer.
    """
    answers = counts.sum(axis=1)
    paired = answers >= 2
    no, yes = np.where(paired, counts[:, 0], 0), np.where(paired, counts[:, 1], 0)
    return np.stack([2 * no * yes / np.maximum(1, answers - 1), no, yes], axis=1)


def _alpha(sums: Floats) -> Floats:
    """1 less observed over expected disagreement, of sums [..., parts]."""
    within, no, yes = sums[..., 0], sums[..., 1], sums[..., 2]
    return np.asarray(np.where(no * yes > 0, 1 - (no + yes - 1) * within / (2 * no * yes), np.nan))


def _two_values(counts: Floats) -> bool:
    return bool((counts[counts.sum(axis=1) >= 2].sum(axis=0) > 0).all())


def _ticks(counts: Floats) -> float:
    return float(counts[counts.sum(axis=1) >= 2, 1].sum())


def _with_value(estimate: Estimate | None, value: float) -> Estimate | None:
    return None if estimate is None else Estimate(value, estimate.low, estimate.high)
