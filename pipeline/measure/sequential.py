"""A test of a share that ends as soon as enough is known: Wald's sequential probability ratio test.

Wald 1945, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16(2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a test."""

    #: True: the share is at least the good one; False: at most the poor one; None: not known yet
    passed: bool | None
    #: number of answers that were looked at
    answers: int
    #: right answers in a row that would end the test well; 0: it has ended
    needed: int


@dataclass(frozen=True, slots=True)
class ShareTest:
    """A test of whether somebody's share of right answers is good or poor.

    Args:
        poor: somebody with this share passes with a probability of at most about `error`.
        good: somebody with this share fails with a probability of at most about `error`.
        error: of each kind.
    """

    poor: float
    good: float
    error: float

    def of(self, answers: Iterable[bool]) -> Progress:
        """Look at answers in the order in which they were given, until enough is known."""
        right, wrong = math.log(self.good / self.poor), math.log((1 - self.good) / (1 - self.poor))
        limit = math.log((1 - self.error) / self.error)
        balance, count = 0.0, 0
        for answer in answers:
            balance += right if answer else wrong
            count += 1
            if abs(balance) >= limit:
                return Progress(balance > 0, count, 0)
        return Progress(None, count, math.ceil((limit - balance) / right))
