"""Three splits that share no near-duplicates: train to learn, dev to choose, test to measure."""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.learning.sets.examples import Examples
from pipeline.texts.labelled import SPLITS, Split
from pipeline.texts.near_duplicates import Signed, near_duplicate_groups, repeating

#: share of each of dev and test where the data name no splits
SHARE = 0.1


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Positions of the examples in each split, and the origin of the splits."""

    train: Sequence[int]
    dev: Sequence[int]
    test: Sequence[int]
    #: training texts left out because a near-duplicate is in dev or test
    leaking: int
    #: training texts left out because they nearly repeat a probe sentence
    probed: int
    #: origin of dev and test, in words
    origin: str

    def sizes(self) -> dict[str, int]:
        """Texts in each split."""
        return {"train": len(self.train), "dev": len(self.dev), "test": len(self.test)}


def plan_splits(examples: Examples, *, seed: int, share: float = SHARE, apart: Sequence[str] = ()) -> SplitPlan:
    """Split the examples as the data say, and where they do not, by drawing whole near-duplicate groups.

    A test split of the data is kept. If the data have only a dev split, it becomes test (others held it out, which is
    better than a draw of ours), and dev is drawn from train. A group in dev or test is in no other split: its training
    texts are left out, and its test texts are kept.

    Groups are drawn by hash within strata of their rarest label, so that rare labels are in every split (Sechidis et
    al. 2011, simplified).

    Args:
        examples: texts and labels.
        seed: of the draws.
        share: of dev, and of test, if they are drawn.
        apart: probe sentences: what nearly repeats one of them is not in train.
    """
    signed = Signed.of(examples.texts)
    groups = near_duplicate_groups(signed)
    given = set(examples.splits)
    has_test, has_dev = "test" in given, "dev" in given
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
        # Groups of test are not drawn, because their texts would be left out.
        free = [i for i in loose if groups[i] not in in_test]
        drawn = _draw(examples, free, groups, share, f"{seed}:dev")
        kept["dev"] = drawn
        loose = sorted(set(loose) - set(drawn))
        origin.append(f"dev drawn from train ({share:.0%}, stratified, by group)")
    elif has_dev:
        origin.append("dev as the data say")
    dev = [i for i in kept["dev"] if groups[i] not in in_test]
    held = in_test | {groups[i] for i in dev}
    unheld = [i for i in loose if groups[i] not in held]
    leaking = len(loose) - len(unheld) + len(kept["dev"]) - len(dev)
    probed = repeating(signed, Signed.of(apart))
    train = [i for i in unheld if i not in probed]
    return SplitPlan(train, dev, kept["test"], leaking, len(unheld) - len(train), "; ".join(origin))


def _draw(examples: Examples, among: Sequence[int], groups: Sequence[int], share: float, salt: str) -> list[int]:
    """Positions of about `share` of the groups in `among`, of each stratum at least one group of three or more."""
    members: dict[int, list[int]] = defaultdict(list)
    for i in among:
        members[groups[i]].append(i)
    positives = (examples.truth[list(among)] == 1).sum(axis=0) if among else np.zeros(len(examples.labels))
    # Equally rare labels are sorted by name, so that the order of the labels does not matter.
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
