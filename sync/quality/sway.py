"""The effect of ticks on people: tasks that had them, compared with tasks that by a random choice had none.

Which tasks are blind is drawn at random, so the difference is the effect of showing the ticks and of nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import UNKNOWN, Booleans, Floats
from pipeline.measure.intervals import Estimate, bootstrap, sums_by_text
from sync.quality.answers import Answers

#: answers on either side, below which no difference is given
LEAST = 20
#: the same for a single label, in pairs of answer and label
LEAST_OF_LABEL = 10


@dataclass(frozen=True, slots=True)
class Contrast:
    """A share among answers that saw the ticks, among those that did not, and their difference."""

    shown: int
    blind: int
    #: None: not enough answers
    of_shown: Estimate | None
    of_blind: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True, slots=True)
class Sway:
    """The share of predictions that raters follow."""

    #: answers that are just what was predicted
    agreement: Contrast
    #: wrong predictions, where the truth is known, that the answer has too
    wrong_adopted: Contrast
    #: the same label by label
    wrong_adopted_by_label: tuple[tuple[str, Contrast], ...]


def sway(answers: Answers, *, rng: np.random.Generator) -> Sway:
    """Compare answers to tasks that showed ticks with answers to blind ones.

    Only rows of which the prediction is known and ticks something take part; of a blind one it is what would have been
    ticked. Where nothing was to be ticked nothing was shown, and counting such rows among the blind alone would compare
    different texts.
    """
    ticking = (answers.predicted == 1).any(axis=1)
    known = (answers.predicted != UNKNOWN) & (answers.said != UNKNOWN) & ticking[:, None]
    follows = known & (answers.said == answers.predicted)
    took_part = known.any(axis=1)
    same: Booleans = took_part & ~(known & ~follows).any(axis=1)
    wrong = known & (answers.truth != UNKNOWN) & (answers.truth != answers.predicted)
    adopted = wrong & follows
    return Sway(
        agreement=_contrast(answers, took_part[:, None], same[:, None], LEAST, rng),
        wrong_adopted=_contrast(answers, wrong, adopted, LEAST, rng),
        wrong_adopted_by_label=tuple(
            (label, _contrast(answers, wrong[:, [i]], adopted[:, [i]], LEAST_OF_LABEL, rng))
            for i, label in enumerate(answers.labels)
        ),
    )


def _contrast(answers: Answers, cells: Booleans, hits: Booleans, least: int, rng: np.random.Generator) -> Contrast:
    """Shares of hits among cells, of rows that showed ticks and of blind rows; resampled by text."""
    shown, blind = answers.shown & ~answers.blind, answers.blind
    of, hit = cells.sum(axis=1).astype(np.float64), hits.sum(axis=1).astype(np.float64)
    n_shown, n_blind = int(of[shown].sum()), int(of[blind].sum())
    if n_shown < least or n_blind < least:
        return Contrast(n_shown, n_blind, None, None, None)
    rows = of > 0
    columns = [hit * shown, of * shown, hit * blind, of * blind]
    parts = sums_by_text(answers.text[rows], [column[rows] for column in columns])

    def statistic(sums: Floats) -> Floats:
        with_ticks, without = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
        return np.column_stack([with_ticks, without, with_ticks - without])

    of_shown, of_blind, difference = bootstrap(parts, statistic, rng=rng)
    return Contrast(n_shown, n_blind, of_shown, of_blind, difference)
