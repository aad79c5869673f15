"""Shifts of shares and of mean scores between two sets of texts, and the rules by which one of them is an alarm. Pure.

With a million texts every difference is certain and few matter; with fifty, large ones happen by chance. So an alarm
needs both: a p-value below the limit, shared among all that is looked at (Bonferroni), and an effect that is large
enough (Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", chapters 2 and 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.drift.two_sample import TwoSample

#: texts on either side below which nothing is said
LEAST = 30
#: standard deviation that scores are taken to have at least
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits from which a shift is an alarm."""

    #: largest p-value, over everything of one kind that is looked at
    p_value: float = 0.01
    #: least effect of a share (Cohen's h) and of a mean score (Cohen's d): 0.2 is small, 0.5 medium
    effect: float = 0.2
    #: least accuracy of the classifier that tells recent texts from others, by the low end of its interval
    accuracy: float = 0.6


@dataclass(frozen=True, slots=True)
class Shift:
    """A value before and now."""

    #: key of the label, or the language
    name: str
    before: float
    now: float
    #: texts on either side
    texts_before: int
    texts_now: int
    #: Cohen's h of a share, Cohen's d of a mean; its sign says the direction. None: too few texts
    effect: float | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that shifted by more than chance, and by enough to matter."""

    kind: Literal["label", "score", "language", "training", "earlier"]
    #: key of the label, or the language; None for the vectors
    name: str | None
    before: float
    now: float
    effect: float
    p_value: float


def share_shift(name: str, before: tuple[int, int], now: tuple[int, int]) -> Shift:
    """The shift of a share, each side given as (texts that have it, all texts).

    The p-value is that of the two-sided test of two proportions with the pooled variance.
    """
    (hits_before, of_before), (hits_now, of_now) = before, now
    first, second = _ratio(hits_before, of_before), _ratio(hits_now, of_now)
    if min(of_before, of_now) < LEAST:
        return Shift(name, first, second, of_before, of_now, None, None)
    effect = 2 * math.asin(math.sqrt(second)) - 2 * math.asin(math.sqrt(first))
    pooled = (hits_before + hits_now) / (of_before + of_now)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / of_before + 1 / of_now))
    return Shift(name, first, second, of_before, of_now, effect, _two_sided(second - first, deviation))


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of a score over texts."""

    texts: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Mean score; 0 of no text."""
        return self.total / self.texts if self.texts else 0.0

    @property
    def variance(self) -> float:
        """Variance of the score; 0 of fewer than two texts."""
        if self.texts < 2:
            return 0.0
        return max(0.0, (self.squares - self.total**2 / self.texts) / (self.texts - 1))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.texts + other.texts, self.total + other.total, self.squares + other.squares)


def mean_shift(name: str, before: Moments, now: Moments) -> Shift:
    """The shift of a mean score; the p-value is that of Welch's test with the normal distribution."""
    if min(before.texts, now.texts) < LEAST:
        return Shift(name, before.mean, now.mean, before.texts, now.texts, None, None)
    difference = now.mean - before.mean
    # scores that never vary differ by as much as can be said
    spread = max(math.sqrt((before.variance + now.variance) / 2), _LEAST_SPREAD)
    effect = difference / spread
    deviation = math.sqrt(before.variance / before.texts + now.variance / now.texts)
    return Shift(name, before.mean, now.mean, before.texts, now.texts, effect, _two_sided(difference, deviation))


def shift_alarms(kind: Literal["label", "score", "language"], shifts: Sequence[Shift], limits: Limits) -> list[Alarm]:
    """Alarms of shifts of one kind, the largest effect first."""
    tested = [shift for shift in shifts if shift.p_value is not None]
    alarms = [
        Alarm(kind, shift.name, shift.before, shift.now, shift.effect, shift.p_value)
        for shift in tested
        if shift.p_value is not None
        and shift.effect is not None
        and shift.p_value <= limits.p_value / len(tested)
        and abs(shift.effect) >= limits.effect
    ]
    return sorted(alarms, key=lambda alarm: -abs(alarm.effect))


def vector_alarms(kind: Literal["training", "earlier"], test: TwoSample | None, limits: Limits) -> list[Alarm]:
    """The alarm of a test of vectors, if it is one; its effect is the accuracy, where 0.5 is chance."""
    if test is None or test.p_value > limits.p_value or test.accuracy.low < limits.accuracy:
        return []
    return [Alarm(kind, None, 0.5, test.accuracy.value, test.accuracy.value, test.p_value)]


def _ratio(hits: int, of: int) -> float:
    return hits / of if of else 0.0


def _two_sided(difference: float, deviation: float) -> float:
    if not difference:
        return 1.0
    return math.erfc(abs(difference) / deviation / math.sqrt(2)) if deviation else 0.0
