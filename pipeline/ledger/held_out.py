"""Which texts are held out: the split in which a text that people judged stays for ever."""

from __future__ import annotations

import hashlib
import uuid

from pipeline.ledger.decisions import DecidedText
from pipeline.ledger.test_set import Truth
from pipeline.texts.labelled import SPLITS, Split

#: share of the judged texts without a split of their own that goes to each of dev and test
SHARE = 0.2


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


def truth_of(one: DecidedText) -> Truth:
    """What people or data sets say of a text; what they dispute is neither asserted nor denied."""
    said = {key: one.decisions[key].value for key in one.trusted}
    return Truth(
        frozenset(key for key, value in said.items() if value),
        frozenset(key for key, value in said.items() if value is False),
    )
