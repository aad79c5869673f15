"""Rules that choose the texts to label next, for replays of a labelled set (`pipeline.queue.replay`).

Each takes what a person would know at that moment: the labels bought so far, and a model that learnt from them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Ints, LabelMatrix
from pipeline.queue.candidates import Candidates
from pipeline.queue.sampling import Space, draw, trim
from pipeline.queue.strategies.known import STRATEGIES
from pipeline.queue.strategies.uncertain import entropy
from pipeline.vectors.encoders.protocol import Vectors

#: cosine above which two texts are not both drawn by a mix of the queue
_NEAR = 0.95
#: gold texts that each label should have, for the strategy `scarce`
_TARGET = 100
#: models of a committee
_COMMITTEE = 5
#: texts that the choice by distance looks at, the most uncertain first, for each text that it chooses
_AMONG = 10


@dataclass(frozen=True, slots=True)
class Known:
    """The state of things when the next texts are chosen."""

    labels: tuple[str, ...]
    #: texts without labels, by number
    free: Ints
    #: texts whose labels were bought, and these labels: 1 yes, 0 no, -1 unknown
    bought: Ints
    truth: LabelMatrix
    #: [free, labels]: by a model that learnt from the labels bought; nan: a label that it could not learn
    probabilities: Floats
    #: [texts, dimension]: vectors, of length 1, of all texts; or their features
    space: Any
    #: probabilities [free, labels] by a model that learns from some rows of `bought`
    learn: Callable[[Ints], Floats]


class Query(Protocol):
    """A rule."""

    def __call__(self, known: Known, size: int, rng: np.random.Generator, /) -> Ints:
        """Positions in `known.free`, `size` of them."""
        ...


def at_random(known: Known, size: int, rng: np.random.Generator) -> Ints:
    """Any texts."""
    return np.asarray(rng.permutation(len(known.free))[:size])


def margin(known: Known, size: int, rng: np.random.Generator) -> Ints:
    """The texts with a label whose probability is nearest to a half (Scheffer, Decomain & Wrobel 2001)."""
    distance = np.nan_to_num(np.abs(known.probabilities - 0.5), nan=0.5).min(axis=1)
    return _top(-distance, size, rng)


def uncertainty(known: Known, size: int, rng: np.random.Generator) -> Ints:
    """The texts with the greatest sum of the labels' entropies (Settles 2009, section 3.1)."""
    return _top(np.nan_to_num(entropy(known.probabilities)).sum(axis=1), size, rng)


def cardinality(known: Known, size: int, rng: np.random.Generator) -> Ints:
    """Uncertain texts whose number of labels is unlike that of the texts bought (Li & Guo 2013, "Active Learning with
    Multi-Label SVM Classification")."""
    p = np.nan_to_num(known.probabilities)
    usual = (known.truth == 1).sum(axis=1).mean()
    unlike = np.abs((p >= 0.5).sum(axis=1) - usual)
    return _top(np.nan_to_num(entropy(p)).sum(axis=1) * (0.5 + unlike), size, rng)


def disagreement(known: Known, size: int, rng: np.random.Generator) -> Ints:
    """The texts about which models that learnt from other samples of the labels disagree most.

    It is the mutual information of label and model (BALD: Houlsby et al. 2011), by a committee of models that learnt
    from samples with replacement (query by bagging: Abe & Mamitsuka 1998).
    """
    n = len(known.bought)
    votes = [known.learn(rng.integers(0, n, n)) for _ in range(_COMMITTEE)]
    learnt = [vote for vote in votes if np.isfinite(vote).any()]
    if not learnt:
        return at_random(known, size, rng)
    each = np.nan_to_num(np.stack(learnt))
    gain = entropy(each.mean(axis=0)) - entropy(each).mean(axis=0)
    return _top(gain.sum(axis=1), size, rng)


def coverage(known: Known, size: int, rng: np.random.Generator) -> Ints:
    """Texts far from each other and from those bought: k-means++ (Arthur & Vassilvitskii 2007)."""
    return _spread(known, np.arange(len(known.free)), np.ones(len(known.free)), size, rng)


def spread_uncertainty(known: Known, size: int, rng: np.random.Generator) -> Ints:
    """Of the most uncertain texts, those that are far from each other: k-means++ weighed by uncertainty.

    With a linear model it is close to BADGE (Ash et al. 2020), whose gradients are the features times the error that is
    expected.
    """
    sizes = np.nan_to_num(entropy(known.probabilities)).sum(axis=1)
    among = _top(sizes, _AMONG * size, rng)
    return _spread(known, among, np.maximum(sizes[among], 1e-9), size, rng)


def seek(known: Known, size: int, rng: np.random.Generator) -> Ints:
    """Texts that probably have a label which fewer than half of the texts bought have, and uncertain ones, spread.

    A model that meets few examples of a label learns little of it (Attenberg & Provost 2010, "Why Label When You Can
    Search?"). Up to half of the places are for such labels, the shorter ones first; the rule `spread` fills the others.
    """
    p = np.nan_to_num(known.probabilities)
    asked = (known.truth != UNKNOWN).sum(axis=0)
    share = (known.truth == 1).sum(axis=0) / np.maximum(1, asked)
    shortage = np.clip(0.5 - share, 0, None)
    places = size * min(0.5, float(shortage.max(initial=0.0)))
    chosen: list[int] = []
    for label, short in enumerate(shortage / shortage.sum() if shortage.any() else ()):
        order = _top(p[:, label], len(p), rng)
        chosen += order[~np.isin(order, chosen)][: round(float(short) * places)].tolist()
    rest = np.setdiff1d(np.arange(len(p)), chosen)
    others = replace(known, free=known.free[rest], probabilities=known.probabilities[rest])
    return np.array([*chosen, *rest[spread_uncertainty(others, size - len(chosen), rng)]], dtype=np.int64)


#: rules by name
QUERIES: Mapping[str, Query] = {
    "random": at_random,
    "margin": margin,
    "uncertainty": uncertainty,
    "cardinality": cardinality,
    "disagreement": disagreement,
    "coverage": coverage,
    "spread": spread_uncertainty,
    "seek": seek,
}


def of_mix(shares: Mapping[str, float], vectors: Vectors | None) -> Query:
    """The draw of `saring queue build` with a mix of its strategies.

    Args:
        shares: strategy to its share.
        vectors: of all texts; None: there are none.
    """

    def query(known: Known, size: int, rng: np.random.Generator) -> Ints:
        n, m = known.probabilities.shape
        own = vectors[known.free] if vectors is not None else None
        gold = (known.truth == 1).sum(axis=0)
        candidates = Candidates(
            ids=[uuid.UUID(int=int(row)) for row in known.free],
            labels=known.labels,
            share=np.ones(n),
            decisions=np.full((n, m), -1, np.int8),
            tiers=["unknown"] * n,
            asserted=np.zeros((n, m), bool),
            demoted=np.zeros((n, m), bool),
            scores=np.full((n, m), np.nan),
            probabilities=known.probabilities,
            vectors=own,
            shortage=np.clip(1 - gold / _TARGET, 0, 1),
        )
        chances = {
            name: np.clip(STRATEGIES[name].weigh(candidates, size * share, rng).chance, 0, 1)
            for name, share in shares.items()
        }
        calm: Booleans = np.zeros(n, dtype=np.bool_)
        sample = draw(chances, Space(own, _NEAR), calm, size=size, benign_least=0, rng=rng)
        rows = trim(sample, calm, size=size, benign_least=0, rng=rng).rows
        rest = at_random(known, n, rng)
        return np.array([*rows, *rest[~np.isin(rest, rows)][: size - len(rows)]], dtype=np.int64)

    return query


def _top(sizes: Floats, size: int, rng: np.random.Generator) -> Ints:
    """Positions of the greatest, equal ones in random order."""
    return np.asarray(np.lexsort((rng.random(len(sizes)), -sizes))[:size])


def _spread(known: Known, among: Ints, weights: Floats, size: int, rng: np.random.Generator) -> Ints:
    """Draw by weight times squared distance to the nearest text that is bought or drawn."""
    rows = known.space[known.free[among]]
    nearest = np.full(len(among), 2.0)
    for start in range(0, len(known.bought), 500):
        likeness = rows @ known.space[known.bought[start : start + 500]].T
        likeness = likeness.toarray() if hasattr(likeness, "toarray") else likeness
        nearest = np.minimum(nearest, 2 - 2 * likeness.max(axis=1))
    chosen: list[int] = []
    for _ in range(min(size, len(among))):
        sizes = weights * np.clip(nearest, 0, None)
        sizes[chosen] = 0
        if not sizes.any():
            sizes = np.ones(len(among))
            sizes[chosen] = 0
        place = int(rng.choice(len(among), p=sizes / sizes.sum()))
        chosen.append(place)
        likeness = rows @ rows[place].T
        likeness = likeness.toarray().ravel() if hasattr(likeness, "toarray") else likeness
        nearest = np.minimum(nearest, 2 - 2 * likeness)
    return among[chosen]
