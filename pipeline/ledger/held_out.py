"""Held-out texts: the permanent split of each text that people judged."""

from __future__ import annotations

import hashlib
import uuid

from pipeline.ledger.decisions import DecidedText
from pipeline.ledger.test_set import Truth
from pipeline.texts.labelled import SPLITS, Split

#: share of the judged texts without a split of their own that goes to each of dev and test
SHARE = 0.2


def kept_split(identity: uuid.UUID, source_split: str | None, share: float) -> Split:
    """The permanent split of a text that people judged: its split in its source, else by a hash of its id.

    Args:
        identity: id of the text.
        source_split: its split in its source; None: it has none.
        share: share of the texts without a split that goes to each of dev and test, from 0 to 0.5.
    """
    for name in SPLITS:
        if name == source_split:
            return name
    # The id itself cannot decide, because texts are sampled in order of id; a second hash does.
    digest = hashlib.blake2b(identity.bytes, key=b"split", digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    return "test" if place < share else "dev" if place < 2 * share else "train"


def truth_of(text: DecidedText) -> Truth:
    """The labels of a text by people or data sets; disputed labels are neither asserted nor denied."""
    values = {key: text.decisions[key].value for key in text.trusted}
    return Truth(
        frozenset(key for key, value in values.items() if value),
        frozenset(key for key, value in values.items() if value is False),
    )
