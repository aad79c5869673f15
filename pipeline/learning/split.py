"""Three splits that share no near-duplicate: train learns, dev chooses, test judges."""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.ingest.neardup import SIMILAR, buckets, level, shingles
from pipeline.labelled import SPLITS, Split
from pipeline.learning.examples import Examples

#: share of the texts that is set aside for each of dev and test when the data don't say
SHARE = 0.1
#: texts of one bucket that are compared with each other
_COMPARED = 50


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Which examples are in which split, by position, and where that came from."""

    train: Sequence[int]
    dev: Sequence[int]
    test: Sequence[int]
    #: training texts left out because a near-duplicate is in dev or test
    leaking: int
    #: how dev and test came about, in words
    origin: str

    def sizes(self) -> dict[str, int]:
        """Texts in each split."""
        return {"train": len(self.train), "dev": len(self.dev), "test": len(self.test)}


def kept_split(identity: uuid.UUID, said: str | None, share: float) -> Split:
    """The split in which a text that people judged stays for ever: what its source said, else by a hash of its id.

    Args:
        identity: of the text.
        said: the split that its source gave it, if any.
        share: of the texts without one, how many go to each of dev and test.
    """
    for name in SPLITS:
        if name == said:
            return name
    # by a hash of its own: ids are in the order of sampling, so they themselves won't do
    digest = hashlib.blake2b(identity.bytes, key=b"split", digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    return "test" if place < share else "dev" if place < 2 * share else "train"


def near_duplicate_groups(texts: Sequence[str]) -> list[int]:
    """A group number for each text: texts that are near-duplicates, directly or through others, share theirs."""
    levelled = [level(text) for text in texts]
    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    grams: dict[int, frozenset[bytes]] = {}

    def grams_of(i: int) -> frozenset[bytes]:
        if i not in grams:
            grams[i] = shingles(levelled[i])
        return grams[i]

    # a bucket keeps one text of each group that it has met
    members: dict[int, list[int]] = defaultdict(list)
    for i, found in enumerate(buckets(levelled)):
        refuted: set[int] = set()
        for bucket in found:
            met = False
            for other in members[bucket][:_COMPARED]:
                a, b = root(i), root(other)
                if a == b:
                    met = True
                elif other not in refuted:
                    if levelled[i] == levelled[other] or jaccard(grams_of(i), grams_of(other)) >= SIMILAR:
                        parent[max(a, b)] = min(a, b)
                        met = True
                    else:
                        refuted.add(other)
            if not met:
                members[bucket].append(i)
    return [root(i) for i in range(len(texts))]


def plan_splits(examples: Examples, *, seed: int, share: float = SHARE) -> SplitPlan:
    """Split the examples by what the data say, and by drawing whole near-duplicate groups where they don't.

    A test split that the data bring is kept. If they bring a dev split only, it becomes the test (it was set aside by
    others, so it judges better than one that we draw), and dev is drawn from train. A group that is part of dev or
    test is nowhere else: its training texts are left out, its untouched test texts kept.

    Groups are drawn by hash within strata of their rarest label, so that rare labels are in every split (Sechidis et
    al. 2011, simplified).
    """
    groups = near_duplicate_groups(examples.texts)
    said = set(examples.splits)
    has_test, has_dev = "test" in said, "dev" in said
    kept: dict[Split, list[int]] = {name: [] for name in SPLITS}
    loose: list[int] = []
    for i, split in enumerate(examples.splits):
        if split == "test" or (split == "dev" and not has_test):
            kept["test"].append(i)
        elif split == "dev":
            kept["dev"].append(i)
        else:
            loose.append(i)
    origin = []
    if not kept["test"]:
        drawn = _draw(examples, loose, groups, share, f"{seed}:test")
        kept["test"] = drawn
        loose = sorted(set(loose) - set(drawn))
        origin.append(f"test drawn from the texts ({share:.0%}, stratified, by group)")
    else:
        origin.append("test as the data say" if has_test else "test is what the data call dev")
    in_test = {groups[i] for i in kept["test"]}
    if not kept["dev"]:
        # what the test has too could only be drawn to be left out
        free = [i for i in loose if groups[i] not in in_test]
        drawn = _draw(examples, free, groups, share, f"{seed}:dev")
        kept["dev"] = drawn
        loose = sorted(set(loose) - set(drawn))
        origin.append(f"dev drawn from train ({share:.0%}, stratified, by group)")
    elif has_dev:
        origin.append("dev as the data say")
    dev = [i for i in kept["dev"] if groups[i] not in in_test]
    held = in_test | {groups[i] for i in dev}
    train = [i for i in loose if groups[i] not in held]
    leaking = len(loose) - len(train) + len(kept["dev"]) - len(dev)
    return SplitPlan(train, dev, kept["test"], leaking, "; ".join(origin))


def _draw(examples: Examples, among: Sequence[int], groups: Sequence[int], share: float, salt: str) -> list[int]:
    """Positions of about `share` of the groups in `among`, of each stratum at least one group of three or more."""
    members: dict[int, list[int]] = defaultdict(list)
    for i in among:
        members[groups[i]].append(i)
    positives = (examples.truth[list(among)] == 1).sum(axis=0) if among else np.zeros(len(examples.labels))
    # equally rare labels by name, so that their order says nothing
    rarity = np.argsort(np.lexsort((np.array(examples.labels), positives)))
    strata: dict[int, list[list[int]]] = defaultdict(list)
    for rows in members.values():
        asserted = np.flatnonzero((examples.truth[rows] == 1).any(axis=0))
        strata[int(min(rarity[asserted], default=len(examples.labels)))].append(rows)
    drawn: list[int] = []
    for stratum in strata.values():
        stratum.sort(key=lambda rows: _key(min(examples.ids[i] for i in rows), salt))
        count = round(len(stratum) * share)
        if count == 0 and len(stratum) >= 3:
            count = 1
        drawn.extend(i for rows in stratum[:count] for i in rows)
    return sorted(drawn)


def _key(identity: uuid.UUID, salt: str) -> bytes:
    return hashlib.blake2b(identity.bytes, key=salt.encode(), digest_size=8).digest()


def jaccard(one: frozenset[bytes], other: frozenset[bytes]) -> float:
    """The share of the n-grams of either text that both have."""
    return len(one & other) / max(1, len(one | other))
