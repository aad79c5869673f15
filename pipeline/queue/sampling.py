"""Sampling of texts with known inclusion probabilities.

Every strategy gives every candidate a chance and draws it independently with that chance (Poisson sampling: Hájek 1964,
"Asymptotic theory of rejective sampling", Ann. Math. Stat. 35; chances in proportion to a size: Särndal, Swensson &
Wretman 1992, "Model assisted survey sampling", section 3.6.2). The draws are independent, so a text that several
strategies want is drawn with probability 1 - prod(1 - p).

Very similar texts are then thinned by Matérn's second rule (Matérn 1960, "Spatial variation"): every drawn text gets a
random mark, and is left out if a drawn text near to it has a lower mark. No two near texts are left, and a text stays
with probability p_i * integral over u from 0 to 1 of prod(1 - u p_j), j over all candidates near to it.

More texts are drawn than were asked for. They are trimmed to the exact size, harsh and other texts apart, by systematic
sampling (Madow 1949, Ann. Math. Stat. 20), with chances that undo the raising: a text whose original chance was twice
as great is kept with twice the chance. The chance to be kept multiplies the probability (the pi* estimator, Särndal et
al., section 9.3). Totals weighted by the inverse of the probability are unbiased at each step, so they are in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import Booleans, Floats
from pipeline.vectors.encoders.protocol import Vectors

#: positions of candidates
Rows = NDArray[np.intp]

#: strategy that adds texts which are not harsh
BENIGN = "benign"
#: power of the rank by which chances fall: measured in decision 40
_FALL = 1.5
#: candidates that are computed in full to estimate the number that is left
_PROBE = 1_000
#: number of similarities in memory at once
_BLOCK = 1 << 23
#: nodes of the quadrature: exact up to twice as many neighbours, and close beyond
_NODES = 256
#: greatest factor on the chances
_MOST = 1e9
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Space:
    """The positions of candidates: unit vectors [n, d], zero for a text that has none; None if no text has one."""

    vectors: Vectors | None
    #: cosine above which two texts are very similar
    near: float

    def neighbours(self, rows: Rows) -> list[Rows]:
        """For each of `rows`, the other candidates that are near to it."""
        if self.vectors is None:
            return [np.zeros(0, np.intp)] * len(rows)
        neighbours: list[Rows] = []
        step = max(1, _BLOCK // max(1, len(self.vectors)))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            close = self.vectors[block] @ self.vectors.T > self.near
            close[np.arange(len(block)), block] = False
            neighbours.extend(np.flatnonzero(line) for line in close)
        return neighbours


@dataclass(frozen=True, slots=True)
class Sample:
    """Candidates that were drawn."""

    #: ascending
    rows: Rows
    #: inclusion probability of each
    probability: Floats
    #: name of the strategy that drew each; of several, the first of the mix
    strategy: tuple[str, ...]
    #: original chance of each over its raised chance, above 0 and up to 1: used by `trim`
    wanted: Floats
    #: number of drawn texts left out because a very similar one was drawn
    thinned: int = 0

    def __len__(self) -> int:
        return len(self.rows)


def proportional(sizes: Floats, expected: float) -> Floats:
    """Chances in proportion to `sizes` (not negative) with the sum `expected`, none above 1.

    Those that would be above 1 are set to it and the others share the rest, until none is. If fewer than `expected`
    have a size at all, each of them gets 1.
    """
    chances = np.zeros(len(sizes))
    free = sizes > 0
    while free.any():
        left = expected - float(np.count_nonzero(chances == 1))
        # Sizes may be tiny, so they are scaled before they are summed.
        level = sizes[free] / sizes[free].max()
        wanted = max(0.0, left) * level / level.sum()
        chances[free] = np.minimum(1, wanted)
        if (wanted < 1).all():
            break
        free &= chances < 1
    return chances


def by_rank(sizes: Floats, power: float = _FALL) -> Floats:
    """The sizes, less by a power of the rank; equal sizes have the same rank.

    However many texts have a small size, together they take little from the few with a great one (rank-based
    prioritisation: Schaul et al. 2016, "Prioritized Experience Replay", section 3.3).
    """
    _, place, count = np.unique(-sizes, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return np.asarray(sizes * ranks**-power)


def either(chances: Floats) -> Floats:
    """The probability that at least one of several independent draws succeeds: [draws, n] to [n]."""
    return np.asarray(1 - np.prod(1 - chances, axis=0))


def staying(chances: Floats, rows: Rows, near: Sequence[Rows]) -> Floats:
    """The probability that each of `rows` is drawn and not thinned.

    Args:
        chances: the probability of each candidate to be drawn, [n].
        rows: the candidates in question.
        near: for each of them, the candidates that are near to it.
    """
    needed = np.array([_nodes_for(len(others)) for others in near], dtype=np.intp)
    kept = np.ones(len(rows))
    for nodes in np.unique(needed[needed > 0]).tolist():
        alike = np.flatnonzero(needed == nodes).tolist()
        step = max(1, _BLOCK // (nodes * max(len(near[i]) for i in alike)))
        for start in range(0, len(alike), step):
            block = alike[start : start + step]
            kept[block] = _integrals([chances[near[i]] for i in block], nodes)
    return np.asarray(chances[rows] * kept)


def _nodes_for(degree: int) -> int:
    """Nodes that make the quadrature exact for a product of so many factors: a power of 2, none for none."""
    return min(_NODES, (1 << degree.bit_length()) >> 1)


def _integrals(factors: Sequence[Floats], nodes: int) -> Floats:
    """For each set of p, the integral over u from 0 to 1 of prod(1 - u p_j): a polynomial in u."""
    u, weights = _quadrature(nodes)
    starts = np.concatenate([[0], np.cumsum([len(p) for p in factors])[:-1]])
    logs = np.add.reduceat(np.log1p(-u[:, None] * np.concatenate(factors)[None]), starts, axis=1)
    return np.asarray(weights @ np.exp(logs))


@cache
def _quadrature(nodes: int) -> tuple[Floats, Floats]:
    """Nodes and weights on 0 to 1."""
    x, weights = np.polynomial.legendre.leggauss(nodes)
    return (x + 1) / 2, weights / 2


def thin(rows: Rows, near: Sequence[Rows], marks: Floats) -> Booleans:
    """Flags of the drawn `rows` that stay: those near to no drawn one with a lower mark."""
    at = {int(row): i for i, row in enumerate(rows)}
    stays = np.ones(len(rows), bool)
    for i, others in enumerate(near):
        for j in (at[other] for other in others.tolist() if other in at):
            stays[i if marks[i] > marks[j] else j] = False
    return stays


def draw(
    mix: Mapping[str, Floats],
    space: Space,
    harsh: Booleans,
    *,
    size: int,
    benign_least: int,
    rng: np.random.Generator,
) -> Sample:
    """Draw by every strategy of the mix, and thin out very similar texts.

    Chances are raised together so that somewhat more than `size` texts are left, for `trim` to choose from; where too
    few of them would not be harsh, an extra strategy adds such texts, each with the same chance.

    Args:
        mix: for each strategy, the chance that it gives to each candidate, [n].
        space: vectors of the candidates.
        harsh: true for each that is probably harsh, [n].
        size: number of texts to draw.
        benign_least: least number of them that are not harsh.
        rng: draws.
    """
    base = np.stack(list(mix.values()))
    probe = _Probe.of(either(base), space, rng)
    scale = _least_for(lambda c: probe.expected(either(np.minimum(1, base * c))), _with_margin(size), 1.0, _MOST)
    chances = np.minimum(1, base * scale)
    names = list(mix)
    if benign_least and probe.expected(either(chances), ~harsh) < _with_margin(benign_least):

        def with_benign(chance: float) -> Floats:
            return np.concatenate([chances, np.where(harsh, 0, chance)[None]])

        share = _least_for(
            lambda c: probe.expected(either(with_benign(c)), ~harsh), _with_margin(benign_least), 1e-9, 1.0
        )
        chances, base = with_benign(share), np.concatenate([base, np.where(harsh, 0, share)[None]])
        names.append(BENIGN)
    heads = rng.random(chances.shape) < chances
    rows = np.flatnonzero(heads.any(axis=0))
    brought = heads[:, rows].argmax(axis=0)
    near = space.neighbours(rows)
    stays = thin(rows, near, rng.random(len(rows)))
    raised = either(chances)
    return Sample(
        rows[stays],
        staying(raised, rows, near)[stays],
        tuple(names[i] for i in brought[stays]),
        wanted=(either(base)[rows] / raised[rows])[stays],
        thinned=int(np.count_nonzero(~stays)),
    )


def trim(sample: Sample, harsh: Booleans, *, size: int, benign_least: int, rng: np.random.Generator) -> Sample:
    """At most `size` of a sample, at least `benign_least` of them not harsh if it has so many.

    Harsh texts and others are drawn from separately; their numbers depend only on the numbers in the sample.
    """
    kinds = harsh[sample.rows]
    bad, good = np.flatnonzero(kinds), np.flatnonzero(~kinds)
    even = round(size * len(good) / max(1, len(sample)))
    of_good = min(len(good), max(benign_least, size - len(bad), even))
    of_bad = min(len(bad), size - of_good)
    kept, share = [], np.ones(len(sample))
    for part, count in ((bad, of_bad), (good, of_good)):
        share[part] = proportional(sample.wanted[part], count)
        kept.append(part[systematic(share[part], rng)])
    chosen = np.sort(np.concatenate(kept))
    return Sample(
        sample.rows[chosen],
        (sample.probability * share)[chosen],
        tuple(sample.strategy[i] for i in chosen),
        wanted=sample.wanted[chosen],
        thinned=sample.thinned,
    )


def systematic(chances: Floats, rng: np.random.Generator) -> Rows:
    """Draw each with its chance, and always as many as the chances sum to, a whole number."""
    certain = np.flatnonzero(chances >= 1)
    open_ = rng.permutation(np.flatnonzero((chances > 0) & (chances < 1)))
    count = round(float(chances[open_].sum()))
    if not count:
        return certain
    ends = np.cumsum(chances[open_])
    places = np.searchsorted(ends * (count / ends[-1]), rng.random() + np.arange(count), side="right")
    return np.concatenate([certain, open_[np.minimum(places, len(open_) - 1)]])


def _with_margin(size: int) -> float:
    """An expected number at which fewer than `size` are hardly ever left."""
    return float(size + 4 * np.sqrt(size) + 0.02 * size)


def _least_for(value: Callable[[float], float], goal: float, low: float, high: float) -> float:
    """The least factor between `low` and `high` at which a growing `value` reaches `goal`; `high` if none does."""
    if value(low) >= goal:
        return low
    if value(high) < goal:
        return high
    for _ in range(_STEPS):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if value(middle) >= goal else (middle, high)
        if high / low < 1.001:
            break
    return high


@dataclass(frozen=True, slots=True)
class _Probe:
    """A sample of the candidates to estimate the number that is left. It has random draws of its own."""

    rows: Rows
    #: number of candidates that each stands for
    weights: Floats
    near: Sequence[Rows]

    @classmethod
    def of(cls, chances: Floats, space: Space, rng: np.random.Generator) -> _Probe:
        n = len(chances)
        if n <= _PROBE or space.vectors is None:
            rows: Rows = np.arange(n)
            weights: Floats = np.ones(n)
        else:
            # Half of the probability follows the chances, which gives the best estimate, and half is even.
            even = np.full(n, 1 / n)
            odds = (chances / chances.sum() + even) / 2 if chances.sum() > 0 else even
            rows = rng.choice(n, size=_PROBE, p=odds / odds.sum())
            weights = 1 / (_PROBE * odds[rows])
        return cls(rows, weights, space.neighbours(rows))

    def expected(self, chances: Floats, among: Booleans | None = None) -> float:
        """The expected number of candidates (of those `among`) that are left."""
        left = self.weights * staying(chances, self.rows, self.near)
        return float(left.sum() if among is None else left[among[self.rows]].sum())
