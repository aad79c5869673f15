"""The labels of the texts that are most like a text, in the space of an encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import UNKNOWN, Floats, Ints, LabelMatrix
from pipeline.vectors.encoders.protocol import Vectors

#: neighbours of a text that vote, and those whose answers are counted for people
NEIGHBOURS, SHOWN = 30, 10
#: a neighbour's weight is this power of its cosine
_POWER = 4
#: weight of the mean of all texts
_PRIOR = 0.5
#: texts that are compared with all others at once
_CHUNK = 1_000
#: columns of which the largest is looked for first
_GROUPED = 16


@dataclass(frozen=True, slots=True)
class Near:
    """The neighbours of texts among labelled ones."""

    #: [texts, labels]: share of yes among the neighbours, nearer ones counting more
    share: Floats
    #: [texts, labels]: neighbours that say yes, and all that know, of the nearest ones
    yes: Ints
    known: Ints


def centred(vectors: Vectors, mean: Vectors) -> Vectors:
    """Vectors without what all texts have in common, of length 1; zero for a text without a vector."""
    moved = np.where(vectors.any(axis=1, keepdims=True), vectors - mean, 0)
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def neighbour_votes(
    asked: Vectors,
    labelled: Vectors,
    given: LabelMatrix,
    groups: Ints | None = None,
    *,
    itself: bool = False,
    own: Ints | None = None,
) -> Near:
    """Ask the neighbours of texts (Cover & Hart 1967, "Nearest Neighbor Pattern Classification").

    Args:
        asked: [texts, dimension]: unit vectors, zero for a text without one.
        labelled: [others, dimension]: unit vectors of labelled texts.
        given: [others, labels]: their labels; 1 yes, 0 no, -1 unknown.
        groups: with `itself`, the group of near-duplicates of each text: texts of one group do not vote for each other.
        itself: True: `asked` and `labelled` are the same texts, and none is its own neighbour.
        own: the place of each text among `labelled`, which does not vote for itself; -1: it is not among them.
    """
    known = given != UNKNOWN
    mean = (given == 1).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    group = np.arange(len(labelled)) if groups is None else groups
    shape = (len(asked), given.shape[1])
    share, yes, counted = np.tile(mean, (len(asked), 1)), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    most = min(NEIGHBOURS, len(labelled))
    for start in range(0, len(asked) if most else 0, _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(asked)))
        likeness = asked[rows] @ labelled.T
        if itself:
            likeness[group[rows, None] == group[None, :]] = -1
        elif own is not None:
            among = np.flatnonzero(own[rows] >= 0)
            likeness[among, own[rows][among]] = -1
        near = largest(likeness, most)
        cosine = np.take_along_axis(likeness, near, axis=1)
        order = np.argsort(-cosine, axis=1, kind="stable")
        near, cosine = np.take_along_axis(near, order, axis=1), np.take_along_axis(cosine, order, axis=1)
        weight = (np.clip(cosine, 0, None) ** _POWER).astype(np.float64)
        for column in range(given.shape[1]):
            answer, knows = given[near, column] == 1, known[near, column]
            voted = np.where(knows, weight, 0)
            share[rows, column] = ((voted * answer).sum(axis=1) + _PRIOR * mean[column]) / (voted.sum(axis=1) + _PRIOR)
            first = knows & (cosine > 0) & (np.cumsum(knows, axis=1) <= SHOWN)
            yes[rows, column], counted[rows, column] = (first & answer).sum(axis=1), first.sum(axis=1)
    return Near(share, yes, counted)


def largest(values: Vectors, count: int) -> Ints:
    """The places of the largest values of each row, in no order: [rows, count].

    Of every few columns the largest value is found first. The groups with the largest of these hold all that is looked
    for, so only a few values of each row have to be ordered.
    """
    rows, columns = values.shape
    groups = columns // _GROUPED
    if groups <= 2 * count:
        return np.argpartition(values, columns - count, axis=1)[:, columns - count :]
    whole = groups * _GROUPED
    tops = values[:, :whole].reshape(rows, _GROUPED, groups).max(axis=1)
    best = np.argpartition(tops, groups - count, axis=1)[:, groups - count :]
    members = (best[:, None, :] + groups * np.arange(_GROUPED)[None, :, None]).reshape(rows, _GROUPED * count)
    rest = np.broadcast_to(np.arange(whole, columns), (rows, columns - whole))
    places = np.concatenate([members, rest], axis=1)
    among = np.take_along_axis(values, places, axis=1)
    chosen = np.argpartition(among, among.shape[1] - count, axis=1)[:, among.shape[1] - count :]
    return np.asarray(np.take_along_axis(places, chosen, axis=1), dtype=np.int64)
