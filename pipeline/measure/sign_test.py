"""Paired yes-or-no outcomes: the exact sign test, and many tests at once."""

from __future__ import annotations

import math
from collections.abc import Sequence


def sign_test(lost: int, won: int) -> float:
    """The one-sided p-value of as many losses or more, if a loss and a win were equally likely.

    This is McNemar's test in its exact form (McNemar 1947; Sheskin 2011, test 20): pairs on which both did the same
    say nothing, and are left out.

    Args:
        lost: number of pairs that the first got right and the second got wrong.
        won: number of pairs that the first got wrong and the second got right.
    """
    total = lost + won
    return float(sum(math.comb(total, k) for k in range(lost, total + 1)) / 2**total)


def adjusted(counts: Sequence[tuple[int, int]], alpha: float) -> list[float]:
    """P-values of many sign tests, adjusted so that a false alarm among all of them has at most the chance `alpha`.

    A test with few pairs cannot come below the level whatever its outcome, so it raises no alarm and does not count as
    a test: each p-value is multiplied by the number of those that do (Tarone 1990, Biometrics 46). The tests need not
    be independent.

    Args:
        counts: losses and wins of each test.
        alpha: the level that the adjusted values are held to.
    """
    least = [0.5 ** (lost + won) for lost, won in counts]
    factor = next(
        (k for k in range(1, len(counts) + 1) if sum(value <= alpha / k for value in least) <= k), max(1, len(counts))
    )
    return [min(1.0, factor * sign_test(lost, won)) for lost, won in counts]
