"""Three splits that share no near-duplicate: train learns, dev chooses, test judges."""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.learning.sets.examples import Examples
from pipeline.texts.labelled import SPLITS, Split
from pipeline.texts.near_duplicates import near_duplicate_groups

#: share of the texts that is set aside for each of dev and test when the data don't say
SHARE = 0.1


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
