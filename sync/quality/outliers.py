"""One rater beside the others: how far a share lies from theirs, beyond chance and their own differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: raters differ by nature: the least overdispersion that is ever assumed of their shares
_LEAST_SPREAD = 0.03
_MOST_SPREAD = 0.5
#: a median absolute deviation times this estimates a standard deviation
_MAD = 1.4826
#: fewer others than this are no yardstick
LEAST_OTHERS = 2


def spread_of(hits: Sequence[int], of: Sequence[int]) -> tuple[float, float]:
    """The middle of raters' shares, and how much they differ beyond chance (0 to 1, as the beta-binomial has it).

    Median and median absolute deviation, so that one bad rater among the others does not hide a second.
    """
    n = np.asarray(of, dtype=np.float64)
    shares = (np.asarray(hits, dtype=np.float64) + 0.5) / (n + 1)
    middle = float(np.median(shares))
    deviation = _MAD * float(np.median(np.abs(shares - middle)))
    chance = float(np.mean(middle * (1 - middle) / n))
    spread = max(0.0, deviation**2 - chance) / (middle * (1 - middle))
    return middle, float(np.clip(spread, _LEAST_SPREAD, _MOST_SPREAD))


def tails(hits: int, of: int, *, others_hits: Sequence[int], others_of: Sequence[int]) -> tuple[float, float, float]:
    """The probability of so few, and of so many, hits for a rater like the others (beta-binomial), and the others'
    middle.
    """
    # It takes a second to load, and whatever imports this module may never get here.
    from scipy.stats import betabinom

    middle, spread = spread_of(others_hits, others_of)
    weight = 1 / spread - 1
    like_others = betabinom(of, middle * weight, (1 - middle) * weight)
    return float(like_others.cdf(hits)), float(like_others.sf(hits - 1)), middle
