"""Each rater against a reference: what is known beforehand, or what the others say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import UNKNOWN, Floats, LabelMatrix
from pipeline.measure.intervals import Estimate, bootstrap, sums_by_text, wilson
from sync.quality.answers import Answers, right

#: tasks with a reference, below which nothing is said of a rater
LEAST_TASKS = 5
#: texts that have a label, below which nothing is said of how it is found
LEAST_POSITIVES = 5


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A rater's skill with one label."""

    label: str
    #: answers to texts that have the label
    positives: int
    #: answers that tick it
    ticked: int
    #: None: not enough texts that have the label
    f1: Estimate | None


@dataclass(frozen=True, slots=True)
class Score:
    """A comparison of answers with a reference. None: too little to compare."""

    #: answers of which at least one label can be compared
    tasks: int
    #: those in which every label that can be compared fits
    right: int
    exact: Estimate | None
    #: share of pairs of answer and label that fit. Most labels are absent from most texts, so it is high for anybody
    agreement: Estimate | None
    #: mean F1 over the labels with enough texts that have them: a rare label counts as much as a common one
    macro_f1: Estimate | None
    labels: tuple[LabelScore, ...]


def score(answers: Answers, reference: LabelMatrix, *, rng: np.random.Generator) -> Score:
    """Compare answers, of one rater or of all together, with a reference.

    Args:
        answers: the rows to compare.
        reference: for each of them, 1, 0 or unknown for each label.
        rng: draws the resamples of texts.
    """
    comparable, fits = right(answers, reference)
    tasks, hits = int(comparable.sum()), int((comparable & fits).sum())
    known = (reference != UNKNOWN) & (answers.said != UNKNOWN)
    true, ticks = known & (reference == 1), known & (answers.said == 1)
    positives, ticked = true.sum(axis=0), ticks.sum(axis=0)
    enough = np.flatnonzero(positives >= LEAST_POSITIVES)
    cells = [known & (answers.said == reference), known, true & ticks, true, ticks]
    # per text: cells that fit, cells, then for each measured label: found, true, ticked
    columns = [cells[0].sum(axis=1), cells[1].sum(axis=1)]
    columns += [part[:, i].astype(np.float64) for i in enough for part in cells[2:]]
    parts = sums_by_text(answers.text[comparable], [np.asarray(c, dtype=np.float64)[comparable] for c in columns])

    def statistic(sums: Floats) -> Floats:
        each = sums[:, 2:].reshape(len(sums), -1, 3)
        f1 = 2 * each[:, :, 0] / (each[:, :, 1] + each[:, :, 2])
        measured = np.isfinite(f1)
        macro = np.where(measured, f1, 0).sum(axis=1) / measured.sum(axis=1)
        return np.column_stack([sums[:, 0] / sums[:, 1], macro, f1])

    estimates = bootstrap(parts, statistic, rng=rng) if tasks >= LEAST_TASKS else [None, None, *([None] * len(enough))]
    f1_of = dict(zip(enough.tolist(), estimates[2:], strict=True))
    return Score(
        tasks=tasks,
        right=hits,
        exact=wilson(hits, tasks, least=LEAST_TASKS),
        agreement=estimates[0],
        macro_f1=estimates[1],
        labels=tuple(
            LabelScore(label, int(positives[i]), int(ticked[i]), f1_of.get(i)) for i, label in enumerate(answers.labels)
        ),
    )
