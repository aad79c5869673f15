"""Voices: raters that are not independent of each other form a family and count as one.

Two prompts of one model, or two names for one model, make the same errors. Dawid and Skene's model would take their
agreement for evidence, and a majority would count it twice. So raters that use the same model, and raters that almost
never differ, are a family.
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

#: least Jaccard similarity of the assertions of two raters of a family, on texts that both judged
ALIKE = 0.9
#: least number of assertions for that
LEAST_ALIKE = 50


@dataclass(frozen=True, slots=True)
class Voices:
    """Votes and verdicts of each voice on one label."""

    names: tuple[str, ...]
    kinds: tuple[RaterKind, ...]
    #: [texts, voices]: number of votes; a voice may have several raters
    votes: Ints
    #: [texts, voices]: the verdict of most of its raters, 1 or 0; -1 where there is no vote or a tie
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
    verdicts = votes.heard[rows, column]
    shape = (votes.texts, len(names))
    place = votes.text[rows] * len(names) + number[votes.rater[rows]]
    count = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    yes = np.bincount(place, weights=verdicts, minlength=shape[0] * shape[1]).reshape(shape)
    balance = 2 * yes - count
    majority = np.where(balance > 0, 1, np.where(balance < 0, 0, UNKNOWN)).astype(np.int8)
    return Voices(names, tuple(kind_of[name] for name in names), count.astype(np.int64), majority)


def families(votes: Votes, details: Mapping[RaterRef, Mapping[str, Any]]) -> dict[str, str]:
    """The name of the family of each rater that belongs to one, by the rater's own voice.

    Args:
        votes: votes of machines.
        details: details of each rater in the store; `model` names its model.
    """
    refs = votes.voters()
    parent = {ref: ref for ref in refs}

    def root(ref: RaterRef) -> RaterRef:
        while parent[ref] != ref:
            ref = parent[ref]
        return ref

    for rater, other in combinations(refs, 2):
        model = details.get(rater, {}).get("model")
        same = model is not None and model == details.get(other, {}).get("model")
        if rater.kind is other.kind and _share_texts(votes, rater, other) and (same or alike(votes, rater, other)):
            parent[root(other)] = root(rater)
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


def _share_texts(votes: Votes, rater: RaterRef, other: RaterRef) -> bool:
    """True where both raters have a vote on one text or more. Two versions of one rater never have."""
    first, second = paired_rows(votes, rater, other)
    return bool((votes.votes[first] & votes.votes[second]).any())


def alike(votes: Votes, rater: RaterRef, other: RaterRef) -> bool:
    """True where two raters assert nearly the same labels on the texts that both judged."""
    both, either = assertions(votes, rater, other)
    return either >= LEAST_ALIKE and both >= ALIKE * either


def assertions(votes: Votes, rater: RaterRef, other: RaterRef) -> tuple[int, int]:
    """Numbers of assertions of both raters, and of either, on texts that both judged."""
    first, second = paired_rows(votes, rater, other)
    yes, also = votes.said[first] == 1, votes.said[second] == 1
    return int((yes & also).sum()), int((yes | also).sum())


def paired_rows(votes: Votes, rater: RaterRef, other: RaterRef) -> tuple[Ints, Ints]:
    """The rows of two raters on the texts that both judged, in the same order."""
    first, second = np.flatnonzero(votes.of(rater)), np.flatnonzero(votes.of(other))
    _, left, right = np.intersect1d(votes.text[first], votes.text[second], return_indices=True)
    return first[left], second[right]
