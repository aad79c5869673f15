"""Volunteers of known skill and habits, and the answers that they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.measure.arrays import UNKNOWN, LabelMatrix
from sync.quality.answers import Answers

LABELS = ("hate", "racist", "porn", "informative", "safe for work")
#: how often each is true; one is rare
_SHARES = np.array([0.15, 0.05, 0.10, 0.25, 0.5])


@dataclass(frozen=True)
class Volunteer:
    """How somebody labels."""

    #: share of true labels missed, and of absent ones ticked
    miss: float = 0.08
    false_alarm: float = 0.02
    #: median seconds a task; times are log-normal around it
    seconds: float = 20.0
    #: how often ticks are left as they are without a look at the text
    follows: float = 0.0
    #: how often any one label is ticked without a look at the text
    guesses: float = 0.0
    #: always gives this answer
    always: int | None = None


def simulate(
    rng: np.random.Generator,
    volunteers: Sequence[Volunteer],
    *,
    texts: int = 200,
    raters_a_text: int = 3,
    planted: float = 0.15,
    blind: float = 0.2,
    prediction_errors: float = 0.06,
) -> tuple[Answers, LabelMatrix]:
    """The table of answers, and the truth of each text. What is known in the table is the truth of planted texts."""
    truth = (rng.random((texts, len(LABELS))) < _SHARES).astype(np.int8)
    predicted = np.where(rng.random(truth.shape) < prediction_errors, 1 - truth, truth).astype(np.int8)
    is_planted, is_blind = rng.random(texts) < planted, rng.random(texts) < blind
    rater, text = [], []
    for number in range(texts):
        for who in rng.choice(len(volunteers), size=min(raters_a_text, len(volunteers)), replace=False):
            rater.append(int(who))
            text.append(number)
    said = np.stack(
        [
            _answer(rng, volunteers[w], truth[t], None if is_blind[t] else predicted[t])
            for w, t in zip(rater, text, strict=True)
        ]
    )
    who, where = np.array(rater), np.array(text)
    shown = ~is_blind[where] & (predicted[where] == 1).any(axis=1)
    pace = np.array([v.seconds for v in volunteers])[who]
    answers = Answers(
        labels=LABELS,
        raters=tuple(str(number) for number in range(len(volunteers))),
        texts=texts,
        rater=who,
        text=where,
        said=said,
        truth=np.where(is_planted[where][:, None], truth[where], UNKNOWN).astype(np.int8),
        of_data_sets=np.zeros(len(who), dtype=np.bool_),
        predicted=predicted[where],
        shown=shown,
        kept=shown & (said == predicted[where]).all(axis=1),
        blind=is_blind[where],
        planted=is_planted[where],
        paired=np.zeros(len(who), dtype=np.bool_),
        seconds=pace * np.exp(rng.normal(0, 0.5, len(who))),
        at=np.arange(len(who), dtype=np.float64),
    )
    return answers, truth


def crew(rng: np.random.Generator, size: int) -> list[Volunteer]:
    """Careful people, who differ in skill and pace as people do."""
    return [
        Volunteer(
            miss=float(rng.uniform(0.03, 0.18)),
            false_alarm=float(rng.uniform(0.005, 0.03)),
            seconds=float(20 * np.exp(rng.normal(0, 0.35))),
        )
        for _ in range(size)
    ]


def _answer(rng: np.random.Generator, who: Volunteer, truth: LabelMatrix, predicted: LabelMatrix | None) -> LabelMatrix:
    if who.always is not None:
        return (np.arange(len(truth)) == who.always).astype(np.int8)
    if rng.random() < who.guesses:
        return (np.arange(len(truth)) == rng.integers(len(truth))).astype(np.int8)
    if predicted is not None and rng.random() < who.follows:
        return predicted
    wrong = rng.random(len(truth)) < np.where(truth == 1, who.miss, who.false_alarm)
    return np.where(wrong, 1 - truth, truth).astype(np.int8)


def table(said: LabelMatrix, rater: Sequence[int], text: Sequence[int], **columns: Any) -> Answers:
    """A table written out by hand: labels as in `said` [answers, labels], nothing known or predicted unless given."""
    rows, width = said.shape
    unknown = np.full(said.shape, UNKNOWN, dtype=np.int8)
    no = np.zeros(rows, dtype=np.bool_)
    rest: dict[str, Any] = {
        "truth": unknown,
        "of_data_sets": no,
        "predicted": unknown,
        "shown": no,
        "kept": no,
        "blind": no,
        "planted": no,
        "paired": no,
        "seconds": np.full(rows, np.nan),
        "at": np.arange(rows, dtype=np.float64),
    }
    return Answers(
        labels=LABELS[:width],
        raters=tuple(str(one) for one in range(max(rater) + 1)),
        texts=max(text) + 1,
        rater=np.array(rater),
        text=np.array(text),
        said=said.astype(np.int8),
        **(rest | columns),
    )


def majority_of_others(answers: Answers) -> LabelMatrix:
    """For each answer, what most of the others say of its text; unknown where they are even or absent."""
    votes = np.zeros((answers.texts, len(answers.labels)))
    balance = np.where(answers.said == 1, 1, -1)
    np.add.at(votes, answers.text, balance)
    others = votes[answers.text] - balance
    return np.where(others > 0, 1, np.where(others < 0, 0, UNKNOWN)).astype(np.int8)
