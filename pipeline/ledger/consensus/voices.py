"""From raters to voices: raters that are not independent of each other speak as one.

Two prompts of one model, or two names for one model, err together. Dawid and Skene's model would take their agreement
for evidence, and a majority would count it twice. So raters that name the same model, and raters that hardly ever
differ, are a family.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.consensus.rule import Consensus, voice_of
from pipeline.ledger.consensus.votes import Votes
from pipeline.measure.arrays import UNKNOWN, Ints
from pipeline.measure.dawid_skene import VoteMatrix

#: raters are one voice from this share of common assertions among those of either (Jaccard) on ...
ALIKE = 0.9
#: ... at least so many, on texts that both judged
LEAST_ALIKE = 50


@dataclass(frozen=True, slots=True)
class Voices:
    """What each voice says of one label."""

    names: tuple[str, ...]
    kinds: tuple[RaterKind, ...]
    #: [texts, voices]: votes; a voice may have several raters
    votes: Ints
    #: [texts, voices]: 1, 0, or -1: most of its raters'; nothing where they are even
    said: VoteMatrix


def voices_on(votes: Votes, column: int, consensus: Consensus) -> Voices:
    """The votes on the label of a column, by voice."""
    refs = votes.voters()
    names = tuple(dict.fromkeys(consensus.voice(ref) for ref in refs))
    kind_of = {consensus.voice(ref): ref.kind for ref in refs}
    number = np.zeros(len(votes.raters), dtype=np.int64)
    for ref in refs:
        number[votes.raters.index(ref)] = names.index(consensus.voice(ref))
    rows = votes.votes & (votes.heard[:, column] != UNKNOWN)
    said = votes.heard[rows, column]
    shape = (votes.texts, len(names))
    place = votes.text[rows] * len(names) + number[votes.rater[rows]]
    count = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    yes = np.bincount(place, weights=said, minlength=shape[0] * shape[1]).reshape(shape)
    balance = 2 * yes - count
    word = np.where(balance > 0, 1, np.where(balance < 0, 0, UNKNOWN)).astype(np.int8)
    return Voices(names, tuple(kind_of[name] for name in names), count.astype(np.int64), word)


def families(votes: Votes, details: Mapping[RaterRef, Mapping[str, Any]]) -> dict[str, str]:
    """The voices of raters that belong together, each with the name of its family.

    Args:
        votes: what was said.
        details: what the store remembers of each rater; `model` says what answers for it.
    """
    refs = votes.voters()
    parent = {ref: ref for ref in refs}

    def root(ref: RaterRef) -> RaterRef:
        while parent[ref] != ref:
            ref = parent[ref]
        return ref

    for one, other in combinations(refs, 2):
        model = details.get(one, {}).get("model")
        same = model is not None and model == details.get(other, {}).get("model")
        if one.kind is other.kind and _meet(votes, one, other) and (same or alike(votes, one, other)):
            parent[root(other)] = root(one)
    groups: dict[RaterRef, list[RaterRef]] = {}
    for ref in refs:
        groups.setdefault(root(ref), []).append(ref)
    return {
        voice_of(ref): f"{group[0].kind}:{'+'.join(sorted(_short(group)))}"
        for group in groups.values()
        if len(group) > 1
        for ref in group
    }


def _short(group: Iterable[RaterRef]) -> list[str]:
    return [voice_of(ref).partition(":")[2] for ref in group]


def _meet(votes: Votes, one: RaterRef, other: RaterRef) -> bool:
    """Whether both have a vote on some text. Two versions of a rater never do: they remain two raters."""
    first, second = paired_rows(votes, one, other)
    return bool((votes.votes[first] & votes.votes[second]).any())


def alike(votes: Votes, one: RaterRef, other: RaterRef) -> bool:
    """Whether two raters assert nearly the same, wherever both judged."""
    both, either = assertions(votes, one, other)
    return either >= LEAST_ALIKE and both >= ALIKE * either


def assertions(votes: Votes, one: RaterRef, other: RaterRef) -> tuple[int, int]:
    """On texts that both judged: labels that both assert, and labels that either does."""
    first, second = paired_rows(votes, one, other)
    yes, also = votes.said[first] == 1, votes.said[second] == 1
    return int((yes & also).sum()), int((yes | also).sum())


def paired_rows(votes: Votes, one: RaterRef, other: RaterRef) -> tuple[Ints, Ints]:
    """The rows of two raters on the texts that both judged, in the same order."""
    first, second = np.flatnonzero(votes.of(one)), np.flatnonzero(votes.of(other))
    _, left, right = np.intersect1d(votes.text[first], votes.text[second], return_indices=True)
    return first[left], second[right]
